package command

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
	"hardway/lab/providers/internal/sshtest"
)

// screen collects what a command shows on the engine's screen.
type screen struct {
	mutex    sync.Mutex
	lines    []string
	warnings []string
}

func (screen *screen) Progress(line string) {
	screen.mutex.Lock()
	defer screen.mutex.Unlock()
	screen.lines = append(screen.lines, line)
}

func (screen *screen) Warning(line string) {
	screen.mutex.Lock()
	defer screen.mutex.Unlock()
	screen.warnings = append(screen.warnings, line)
}

func startServer(t *testing.T) *sshtest.Server {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	server, err := sshtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

func connectionTo(server *sshtest.Server) property.Map {
	return property.Map{
		"host": server.Host, "port": float64(server.Port), "user": "root", "privateKey": server.PrivateKey,
		"hostKey": server.HostKey, "dialErrorLimit": 0.0, "perDialTimeout": 5.0,
	}
}

func create(ctx context.Context, inputs property.Map) (property.Map, *screen, error) {
	shown := &screen{}
	_, outputs, err := remote().Create(ctx, protocol.Call{Name: "test", Inputs: inputs, Log: shown})
	return outputs, shown, err
}

func waitUntilClosed(t *testing.T, server *sshtest.Server) {
	t.Helper()
	for range 100 {
		if server.Open.Load() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d connections are still open", server.Open.Load())
}

func TestStandardInputAndOutputCrossTheConnection(t *testing.T) {
	server := startServer(t)
	bundle := strings.Repeat("0123456789abcdef", 1<<16) // 1 MB: more than any window
	outputs, _, err := create(t.Context(), property.Map{
		"connection": property.Secret{Value: connectionTo(server)}, "create": "wc -c; echo warned >&2", "stdin": bundle,
	})
	if err != nil {
		t.Fatal(err)
	}
	if outputs["stdout"] != fmt.Sprint(len(bundle)) || outputs["stderr"] != "warned" {
		t.Errorf("outputs are %q and %q", outputs["stdout"], outputs["stderr"])
	}
	waitUntilClosed(t, server)
}

func TestACommandThatDoesNotReadItsInputSucceeds(t *testing.T) {
	server := startServer(t)
	_, _, err := create(t.Context(), property.Map{
		"connection": connectionTo(server), "create": "true", "stdin": strings.Repeat("x", 8<<20),
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAFailureShowsTheCommandAndItsOutput(t *testing.T) {
	server := startServer(t)
	_, _, err := create(t.Context(), property.Map{
		"connection": connectionTo(server), "create": "echo before; echo worse >&2; exit 3",
	})
	want := "Process exited with status 3: running \"echo before; echo worse >&2; exit 3\":\n"
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "worse") {
		t.Errorf("the error is %v", err)
	}
	waitUntilClosed(t, server)
}

func TestAnotherHostKeyIsRefused(t *testing.T) {
	server, other := startServer(t), startServer(t)
	connection := connectionTo(server)
	connection["hostKey"] = other.HostKey
	_, _, err := create(t.Context(), property.Map{"connection": connection, "create": "true"})
	if err == nil || !strings.Contains(err.Error(), "host key mismatch") {
		t.Errorf("the error is %v", err)
	}
}

func TestAPasswordIsEnough(t *testing.T) {
	server := startServer(t)
	connection := connectionTo(server)
	delete(connection, "privateKey")
	connection["password"] = sshtest.Password
	if outputs, _, err := create(t.Context(), property.Map{"connection": connection, "create": "echo in"}); err != nil || outputs["stdout"] != "in" {
		t.Errorf("%v %v", outputs, err)
	}
}

func TestAProxyIsGoneThroughAndClosed(t *testing.T) {
	server, bastion := startServer(t), startServer(t)
	connection := connectionTo(server)
	connection["proxy"] = connectionTo(bastion)
	outputs, _, err := create(t.Context(), property.Map{"connection": connection, "create": "echo through"})
	if err != nil || outputs["stdout"] != "through" {
		t.Errorf("%v %v", outputs, err)
	}
	waitUntilClosed(t, server)
	waitUntilClosed(t, bastion)
}

func TestVariablesThatTheServerRefusesFailAndPreviousOutputsOnlyWarn(t *testing.T) {
	server := startServer(t)
	inputs := property.Map{"connection": connectionTo(server), "create": "true", "environment": property.Map{"A": "1"}}
	if _, _, err := create(t.Context(), inputs); err == nil || !strings.Contains(err.Error(), "AcceptEnv") {
		t.Errorf("the error is %v", err)
	}
	delete(inputs, "environment")
	shown := &screen{}
	_, err := remote().Update(t.Context(), protocol.Call{
		Inputs: inputs, State: property.Map{"stdout": "before", "stderr": ""}, Log: shown,
	})
	if err != nil || len(shown.warnings) != 1 {
		t.Errorf("error %v, warnings %v", err, shown.warnings)
	}
}

func TestPreviousOutputsReachUpdateAndDelete(t *testing.T) {
	server := startServer(t)
	server.AcceptVariables.Store(true)
	state := property.Map{
		"connection": connectionTo(server), "create": "exit 9", "update": "echo was $PULUMI_COMMAND_STDOUT",
		"delete": "test \"$PULUMI_COMMAND_STDOUT\" = first", "stdout": "first", "stderr": "",
	}
	outputs, err := remote().Update(t.Context(), protocol.Call{Inputs: state, State: state, Log: &screen{}})
	if err != nil || outputs["stdout"] != "was first" {
		t.Errorf("%v %v", outputs, err)
	}
	if err := remote().Delete(t.Context(), protocol.Call{State: state, Log: &screen{}}); err != nil {
		t.Error(err)
	}
}

func TestRefusedConnectionsAreTriedAgainAndNamed(t *testing.T) {
	connection := property.Map{"host": "127.0.0.1", "port": float64(closedPort(t)), "dialErrorLimit": 2.0, "password": "x"}
	_, shown, err := create(t.Context(), property.Map{"connection": connection, "create": "true"})
	if err == nil || !strings.Contains(err.Error(), "connecting to root@127.0.0.1:") || !strings.Contains(err.Error(), "after 2 failed attempts") {
		t.Errorf("the error is %v", err)
	}
	if want := []string{"Dial 1/2 failed: retrying", "Dial 2/2 failed: retrying"}; fmt.Sprint(shown.lines) != fmt.Sprint(want) {
		t.Errorf("shown were %q", shown.lines)
	}
}

func TestAHostThatAcceptsAndSaysNothingIsNotWaitedForWithoutEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	connection := property.Map{
		"host": "127.0.0.1", "port": float64(listener.Addr().(*net.TCPAddr).Port), "dialErrorLimit": 0.0,
		"perDialTimeout": 1.0, "password": "x",
	}
	_, _, err = create(t.Context(), property.Map{"connection": connection, "create": "true"})
	if err == nil || !strings.Contains(err.Error(), "no answer within 1s") {
		t.Errorf("the error is %v", err)
	}
}

func TestCancellingClosesTheConnection(t *testing.T) {
	server := startServer(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(fmt.Errorf("cancelled by the engine")) })
	begun := time.Now()
	_, _, err := create(ctx, property.Map{"connection": connectionTo(server), "create": "sleep 5"})
	if err == nil || !strings.Contains(err.Error(), "may still run on root@127.0.0.1") || time.Since(begun) > 3*time.Second {
		t.Errorf("after %s the error is %v", time.Since(begun), err)
	}
	waitUntilClosed(t, server)
}

func TestManyCommandsRunAtOnce(t *testing.T) {
	server := startServer(t)
	var group sync.WaitGroup
	begun := time.Now()
	for range 32 {
		group.Go(func() {
			if _, _, err := create(t.Context(), property.Map{"connection": connectionTo(server), "create": "sleep 0.5"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("32 commands of half a second took %s", took)
	}
	waitUntilClosed(t, server)
}

func TestTheConnectionAloneMakesNoOutputSecret(t *testing.T) {
	server := startServer(t)
	inputs := property.Map{"connection": property.Secret{Value: connectionTo(server)}, "create": "cat"}
	outputs, _, err := create(t.Context(), inputs)
	if err != nil || property.HasSecret(outputs["stdout"]) {
		t.Errorf("%v %v", outputs["stdout"], err)
	}
	inputs["stdin"] = property.Secret{Value: "hidden"}
	outputs, _, err = create(t.Context(), inputs)
	if err != nil || outputs["stdout"] != (property.Secret{Value: "hidden"}) {
		t.Errorf("%v %v", outputs["stdout"], err)
	}
}

func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}
