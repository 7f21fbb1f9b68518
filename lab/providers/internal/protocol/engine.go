package protocol

import (
	"context"
	"net"
	"sync"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// engine is the connection back to the engine, for the lines on its screen. Without an address (a provider that was
// started by hand) the lines are dropped.
type engine struct {
	mutex   sync.Mutex
	address string
	client  pulumirpc.EngineClient
}

func (engine *engine) connect(address string) {
	engine.mutex.Lock()
	defer engine.mutex.Unlock()
	if address == "" || address == engine.address {
		return
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return // a provider works without a screen
	}
	engine.address, engine.client = address, pulumirpc.NewEngineClient(connection)
}

func (engine *engine) current() pulumirpc.EngineClient {
	engine.mutex.Lock()
	defer engine.mutex.Unlock()
	return engine.client
}

// watch calls gone once the engine at the address no longer answers: a killed engine sends no Cancel, and its provider
// would stay for ever.
func watch(address string, every time.Duration, gone func()) {
	for failed := 0; failed < 3; {
		time.Sleep(every)
		connection, err := net.DialTimeout("tcp", address, every)
		if err != nil {
			failed++
			continue
		}
		_ = connection.Close()
		failed = 0
	}
	gone()
}

// engineLog writes under one resource. A line that can't be shown is not worth failing a command for.
type engineLog struct {
	engine *engine
	urn    string
}

func (log engineLog) Progress(line string) { log.send(pulumirpc.LogSeverity_INFO, line, true) }
func (log engineLog) Warning(line string)  { log.send(pulumirpc.LogSeverity_WARNING, line, false) }

func (log engineLog) send(severity pulumirpc.LogSeverity, line string, passing bool) {
	client := log.engine.current()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = client.Log(ctx, &pulumirpc.LogRequest{Severity: severity, Message: line, Urn: log.urn, Ephemeral: passing})
}
