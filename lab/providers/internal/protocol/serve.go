package protocol

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// largestMessage is the engine's own limit (400 MB), so that a bundle on standard input passes in one message.
const largestMessage = 400 << 20

// engineLossCheck is how often the engine is looked for; three misses in a row end the provider.
const engineLossCheck = 2 * time.Second

// stopGrace is the time that running commands get to end after a signal or the loss of the engine.
const stopGrace = 7 * time.Second

// Main serves the provider until the engine ends it: it prints the port as one line on standard output and takes the
// engine's address as its argument.
func Main(provider Provider) {
	if err := serve(provider, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-resource-%s: %v\n", provider.Name, err)
		os.Exit(1)
	}
}

func serve(provider Provider, arguments []string) error {
	address, err := engineAddress(provider, arguments)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("no port on 127.0.0.1 to listen on: %w", err)
	}
	server := newServer(provider)
	server.engine.connect(address)
	transport := grpc.NewServer(grpc.MaxRecvMsgSize(largestMessage), grpc.MaxSendMsgSize(largestMessage))
	pulumirpc.RegisterResourceProviderServer(transport, server)
	go stopOnSignal(server, transport)
	if address != "" { // one that was started by hand (PULUMI_DEBUG_PROVIDERS) outlives the engines that attach to it
		go watch(address, engineLossCheck, func() { stop(server, transport) })
	}
	fmt.Printf("%d\n", listener.Addr().(*net.TCPAddr).Port)
	return transport.Serve(listener)
}

// engineAddress takes the flags that the engine hands to every plugin (`pulumi -v 9 --logflow`); they change nothing here.
func engineAddress(provider Provider, arguments []string) (string, error) {
	flags := flag.NewFlagSet("pulumi-resource-"+provider.Name, flag.ContinueOnError)
	flags.Bool("logtostderr", false, "accepted for the engine's sake")
	flags.Bool("logflow", false, "accepted for the engine's sake")
	flags.Int("v", 0, "accepted for the engine's sake")
	flags.String("tracing", "", "accepted for the engine's sake")
	version := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(arguments); err != nil {
		return "", err
	}
	if *version {
		fmt.Println(provider.Version)
		os.Exit(0)
	}
	return flags.Arg(0), nil
}

func stopOnSignal(server *server, transport *grpc.Server) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
	stop(server, transport)
}

// stop ends running commands, lets their calls return, and then ends the server.
func stop(server *server, transport *grpc.Server) {
	server.cancel()
	time.AfterFunc(stopGrace, transport.Stop)
	transport.GracefulStop()
}
