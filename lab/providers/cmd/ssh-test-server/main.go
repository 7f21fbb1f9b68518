// Command ssh-test-server runs the tests' SSH server on the loopback and prints, as one line of JSON, how to reach it. It
// ends when its standard input does. It runs every command that it is sent: for tests only.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"hardway/lab/providers/internal/sshtest"
)

func main() {
	server, err := sshtest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer server.Close()
	server.AcceptVariables.Store(true)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"host": server.Host, "port": server.Port, "hostKey": server.HostKey, "privateKey": server.PrivateKey,
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
}
