// Package sshtest is an SSH server for tests: it runs what it is told on this computer, knows one key and one password,
// and lets other connections through like a bastion. It must never listen on anything but the loopback.
package sshtest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// Password is the one that every server accepts beside its key.
const Password = "correct horse"

// Server is a running server with what a client needs to reach it.
type Server struct {
	Host       string
	Port       int
	HostKey    string // as in authorized_keys
	PrivateKey string // PEM, of the one user
	// Open counts the connections that are open.
	Open atomic.Int64
	// AcceptVariables is what sshd's AcceptEnv does: without it every variable is refused.
	AcceptVariables atomic.Bool

	listener net.Listener
	config   *ssh.ServerConfig
}

// Start listens on a port of the loopback until Close.
func Start() (*Server, error) {
	_, hostSigner, _, err := newKey()
	if err != nil {
		return nil, err
	}
	user, _, userPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{PublicKeyCallback: onlyKey(user), PasswordCallback: onlyPassword}
	config.AddHostKey(hostSigner)
	address := listener.Addr().(*net.TCPAddr)
	server := &Server{
		Host: address.IP.String(), Port: address.Port, PrivateKey: userPEM,
		HostKey:  string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(hostSigner.PublicKey()))),
		listener: listener, config: config,
	}
	go server.accept()
	return server, nil
}

// Close ends listening; connections that are open end with their clients.
func (server *Server) Close() { _ = server.listener.Close() }

func newKey() (ssh.PublicKey, ssh.Signer, string, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, "", err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, "", err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, nil, "", err
	}
	return signer.PublicKey(), signer, string(pem.EncodeToMemory(block)), nil
}

func onlyKey(allowed ssh.PublicKey) func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
	return func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
		if bytes.Equal(offered.Marshal(), allowed.Marshal()) {
			return &ssh.Permissions{}, nil
		}
		return nil, errors.New("not the user's key")
	}
}

func onlyPassword(_ ssh.ConnMetadata, offered []byte) (*ssh.Permissions, error) {
	if string(offered) == Password {
		return &ssh.Permissions{}, nil
	}
	return nil, errors.New("not the password")
}

func (server *Server) accept() {
	for {
		connection, err := server.listener.Accept()
		if err != nil {
			return
		}
		go server.serve(connection)
	}
}

func (server *Server) serve(connection net.Conn) {
	server.Open.Add(1)
	defer server.Open.Add(-1)
	secured, channels, requests, err := ssh.NewServerConn(connection, server.config)
	if err != nil {
		_ = connection.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		switch offered.ChannelType() {
		case "session":
			go server.session(offered)
		case "direct-tcpip":
			go forward(offered)
		default:
			_ = offered.Reject(ssh.UnknownChannelType, "not served")
		}
	}
	_ = secured.Wait()
}

func (server *Server) session(offered ssh.NewChannel) {
	channel, requests, err := offered.Accept()
	if err != nil {
		return
	}
	environment := os.Environ()
	for request := range requests {
		switch request.Type {
		case "env":
			var variable struct{ Name, Value string }
			accepted := ssh.Unmarshal(request.Payload, &variable) == nil && server.AcceptVariables.Load()
			if accepted {
				environment = append(environment, variable.Name+"="+variable.Value)
			}
			_ = request.Reply(accepted, nil)
		case "exec":
			var line struct{ Line string }
			_ = request.Reply(ssh.Unmarshal(request.Payload, &line) == nil, nil)
			go run(channel, line.Line, environment)
		default:
			_ = request.Reply(false, nil)
		}
	}
}

func run(channel ssh.Channel, line string, environment []string) {
	defer func() { _ = channel.Close() }()
	process := exec.Command("/bin/sh", "-c", line)
	process.Env = environment
	process.Stdout, process.Stderr = channel, channel.Stderr()
	input, err := process.StdinPipe()
	if err != nil || process.Start() != nil {
		return
	}
	go func() {
		_, _ = io.Copy(input, channel)
		_ = input.Close()
	}()
	_ = process.Wait()
	status := struct{ Status uint32 }{uint32(max(process.ProcessState.ExitCode(), 0))}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
}

func forward(offered ssh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if ssh.Unmarshal(offered.ExtraData(), &target) != nil {
		_ = offered.Reject(ssh.ConnectionFailed, "unreadable target")
		return
	}
	connection, err := net.Dial("tcp", net.JoinHostPort(target.Host, fmt.Sprint(target.Port)))
	if err != nil {
		_ = offered.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := offered.Accept()
	if err != nil {
		_ = connection.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(connection, channel); _ = connection.Close() }()
	_, _ = io.Copy(channel, connection)
	_ = channel.Close()
}
