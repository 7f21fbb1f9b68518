package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// killGrace is what a cancelled command gets between SIGTERM and SIGKILL.
const killGrace = 5 * time.Second

const pathsRefused = "this stand-in reads no files back: print what is needed, or install the official plugin"

func localFields() []protocol.Field {
	return []protocol.Field{
		{Name: "dir", Type: protocol.Text},
		{Name: "interpreter", Type: protocol.Texts},
		{Name: "assetPaths", Type: protocol.Texts, Refused: pathsRefused},
		{Name: "archivePaths", Type: protocol.Texts, Refused: pathsRefused},
	}
}

func local() resource {
	return resource{token: "command:local:Command", fields: append(sharedFields(), localFields()...), run: runLocal}
}

// localRun is the function `command:local:run`: one command, run at every execution of the program.
type localRun struct{}

func (localRun) Token() string { return "command:local:run" }

func (localRun) Fields() []protocol.Field {
	fields := []protocol.Field{{Name: "command", Type: protocol.Text, Required: true}}
	for _, field := range append(sharedFields(), localFields()...) {
		switch field.Name {
		case "create", "update", "delete", "triggers":
		default:
			fields = append(fields, field)
		}
	}
	return fields
}

func (localRun) Invoke(ctx context.Context, arguments property.Map) (property.Map, error) {
	line, _ := property.Plain(arguments["command"]).(string)
	stdout, stderr, err := runLocal(ctx, line, readInputs(arguments, nil), property.PlainMap(arguments), silent{})
	if err != nil {
		return nil, err
	}
	return results(arguments, stdout, stderr), nil
}

// silent drops what a function's command writes: a function has no place on the engine's screen.
type silent struct{}

func (silent) Progress(string) {}
func (silent) Warning(string)  {}

func runLocal(
	ctx context.Context, line string, read inputs, properties property.Map, log protocol.Log,
) (string, string, error) {
	words := append(interpreter(properties), line)
	captured := newCapture(read.logging, log.Progress)
	process := exec.Command(words[0], words[1:]...)
	process.Dir = textOr(properties, "dir", "")
	process.Env = localEnvironment(read)
	process.Stdout, process.Stderr = captured.Stdout(), captured.Stderr()
	if read.stdin != "" {
		process.Stdin = strings.NewReader(read.stdin)
	}
	// A process group of its own: cancelling reaches what the shell started, too.
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := runUntil(ctx, process)
	captured.finish()
	if err != nil {
		return "", "", captured.failure(err, line)
	}
	stdout, stderr := captured.outputs()
	return stdout, stderr, nil
}

func interpreter(properties property.Map) []string {
	var words []string
	given, _ := properties["interpreter"].([]any)
	for _, word := range given {
		if word, ok := word.(string); ok {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return []string{"/bin/sh", "-c"}
	}
	return words
}

func localEnvironment(read inputs) []string {
	environment := os.Environ()
	for name, value := range read.environment {
		environment = append(environment, name+"="+value)
	}
	if read.previousStdout != "" {
		environment = append(environment, "PULUMI_COMMAND_STDOUT="+read.previousStdout)
	}
	if read.previousStderr != "" {
		environment = append(environment, "PULUMI_COMMAND_STDERR="+read.previousStderr)
	}
	return environment
}

// runUntil waits for the process, or ends its whole group when the context ends first.
func runUntil(ctx context.Context, process *exec.Cmd) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := process.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	reason := fmt.Errorf("stopped: %w", context.Cause(ctx))
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(-process.Process.Pid, signal); errors.Is(err, syscall.ESRCH) {
			return reason
		}
		select {
		case <-ended:
			return reason
		case <-time.After(killGrace):
		}
	}
	return reason // something outside the group still holds the output open
}
