package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"golang.org/x/crypto/ssh"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

func remote() resource {
	connection := protocol.Field{
		Name: "connection", Type: protocol.Object, Required: true, Secret: true, Fields: connectionFields(),
	}
	return resource{token: "command:remote:Command", fields: append(sharedFields(), connection), run: runRemote}
}

func runRemote(
	ctx context.Context, line string, read inputs, properties property.Map, log protocol.Log,
) (string, string, error) {
	connection, _ := properties["connection"].(property.Map)
	client, disconnect, err := connect(ctx, connection, log)
	if err != nil {
		return "", "", err
	}
	defer disconnect()
	session, err := client.NewSession()
	if err != nil {
		return "", "", fmt.Errorf("%s opens no session: %w", newEndpoint(connection), err)
	}
	defer func() { _ = session.Close() }()
	if err := setEnvironment(session, read, log); err != nil {
		return "", "", err
	}
	captured := newCapture(read.logging, log.Progress)
	err = runSession(session, line, read.stdin, captured)
	captured.finish()
	if ctx.Err() != nil {
		err = fmt.Errorf("the connection was closed, the command may still run on %s: %w",
			newEndpoint(connection), context.Cause(ctx))
	}
	if err != nil {
		return "", "", captured.failure(err, line)
	}
	stdout, stderr := captured.outputs()
	return stdout, stderr, nil
}

// runSession runs the line. That a command does not read all of its input is no failure, as on a local shell.
func runSession(session *ssh.Session, line, stdin string, captured *capture) error {
	session.Stdout, session.Stderr = captured.Stdout(), captured.Stderr()
	input, err := session.StdinPipe()
	if err != nil {
		return err
	}
	if err := session.Start(line); err != nil {
		return err
	}
	go func() {
		_, _ = io.WriteString(input, stdin)
		_ = input.Close()
	}()
	return session.Wait()
}

const acceptEnvironment = "the server takes only variables that AcceptEnv in its sshd_config names; " +
	"where a shell runs the command, write VARIABLE=value before it instead"

// setEnvironment fails for variables that the program asked for; previous outputs are only worth a warning.
func setEnvironment(session *ssh.Session, read inputs, log protocol.Log) error {
	for _, name := range slices.Sorted(maps.Keys(read.environment)) {
		if err := session.Setenv(name, read.environment[name]); err != nil {
			return fmt.Errorf("could not set environment variable %q: %w (%s)", name, err, acceptEnvironment)
		}
	}
	for name, value := range map[string]string{
		"PULUMI_COMMAND_STDOUT": read.previousStdout, "PULUMI_COMMAND_STDERR": read.previousStderr,
	} {
		if value == "" {
			continue
		}
		if err := session.Setenv(name, value); err != nil {
			log.Warning(fmt.Sprintf("could not set environment variable %q: %v (%s)", name, err, acceptEnvironment))
		}
	}
	return nil
}
