package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// Pauses between attempts are the official provider's: ten refused connections take about 11 s.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	pauseGrowth  = 1.5
)

// dialer opens a TCP connection, directly or through a proxy.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// connect reaches the host of a `connection`, through its proxy where it has one. The function that comes with the client
// closes everything that was opened; the end of the context does so as well, which ends a remote command.
func connect(ctx context.Context, connection property.Map, log protocol.Log) (*ssh.Client, func(), error) {
	dial := (&net.Dialer{}).DialContext
	closeProxy := func() {}
	if properties, given := connection["proxy"].(property.Map); given {
		proxy, closer, err := newEndpoint(properties).dial(ctx, dial, "Dial proxy", log)
		if err != nil {
			return nil, nil, fmt.Errorf("proxy: %w", err)
		}
		dial, closeProxy = proxy.DialContext, closer
	}
	client, closeClient, err := newEndpoint(connection).dial(ctx, dial, "Dial", log)
	if err != nil {
		closeProxy()
		return nil, nil, err
	}
	return client, func() { closeClient(); closeProxy() }, nil
}

// dial tries until the endpoint answers, or until more than dialErrorLimit attempts failed. Every kind of failure is tried
// again: a booting machine refuses connections first and its keys afterwards.
func (endpoint endpoint) dial(
	ctx context.Context, dial dialer, title string, log protocol.Log,
) (*ssh.Client, func(), error) {
	config, release, err := endpoint.clientConfig()
	if err != nil {
		return nil, nil, err
	}
	pause := firstPause
	for attempt := 1; ; attempt++ {
		client, err := endpoint.attempt(ctx, config, dial)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = client.Close() })
			return client, func() { stop(); _ = client.Close(); release() }, nil
		}
		if ctx.Err() == nil && !endpoint.exhausted(attempt) {
			log.Progress(fmt.Sprintf("%s %d/%s failed: retrying", title, attempt, endpoint.limit()))
			sleep(ctx, pause)
			pause = min(time.Duration(float64(pause)*pauseGrowth), longestPause)
			continue
		}
		release()
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("connecting to %s: %w", endpoint, context.Cause(ctx))
		}
		return nil, nil, fmt.Errorf("connecting to %s: after %d failed attempts: %w", endpoint, attempt-1, err)
	}
}

func (endpoint endpoint) exhausted(attempts int) bool {
	return endpoint.dialErrorLimit >= 0 && attempts > endpoint.dialErrorLimit
}

func (endpoint endpoint) limit() string {
	if endpoint.dialErrorLimit < 0 {
		return "inf"
	}
	return strconv.Itoa(endpoint.dialErrorLimit)
}

func sleep(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// attempt opens one connection. The limit covers the SSH handshake, too: a host that accepts and then says nothing
// would else be waited for without end.
func (endpoint endpoint) attempt(ctx context.Context, config *ssh.ClientConfig, dial dialer) (*ssh.Client, error) {
	late := fmt.Errorf("no answer within %s", endpoint.perDialTimeout)
	if endpoint.perDialTimeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, endpoint.perDialTimeout, late)
		defer cancel()
		ctx = limited
	}
	connection, err := dial(ctx, "tcp", endpoint.address)
	if err != nil {
		return nil, orCause(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	secured, channels, requests, err := ssh.NewClientConn(connection, endpoint.address, config)
	if err != nil {
		_ = connection.Close()
		return nil, orCause(ctx, err)
	}
	return ssh.NewClient(secured, channels, requests), nil
}

// orCause prefers the reason why the context ended to the error that its end brought about.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}
