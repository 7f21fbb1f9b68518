package protocol

import (
	"context"
	"fmt"
	"strings"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"hardway/lab/providers/internal/property"
)

// server answers the engine. Every call runs under a context that Cancel ends.
type server struct {
	pulumirpc.UnimplementedResourceProviderServer
	provider Provider
	engine   *engine
	running  context.Context
	cancel   context.CancelFunc
}

func newServer(provider Provider) *server {
	running, cancel := context.WithCancel(context.Background())
	return &server{provider: provider, engine: &engine{}, running: running, cancel: cancel}
}

// Handshake is the engine's first word where it started the executable itself.
func (server *server) Handshake(
	_ context.Context, request *pulumirpc.ProviderHandshakeRequest,
) (*pulumirpc.ProviderHandshakeResponse, error) {
	server.engine.connect(request.GetEngineAddress())
	return &pulumirpc.ProviderHandshakeResponse{AcceptSecrets: true, AcceptResources: true}, nil
}

// Attach is the engine's first word where somebody else started the executable (PULUMI_DEBUG_PROVIDERS).
func (server *server) Attach(_ context.Context, request *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	server.engine.connect(request.GetAddress())
	return &emptypb.Empty{}, nil
}

func (server *server) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: server.provider.Version}, nil
}

func (server *server) GetSchema(
	context.Context, *pulumirpc.GetSchemaRequest,
) (*pulumirpc.GetSchemaResponse, error) {
	schema, err := packageSchema(server.provider)
	return &pulumirpc.GetSchemaResponse{Schema: schema}, err
}

// CheckConfig refuses a configuration that the stand-in would silently not follow.
func (server *server) CheckConfig(
	_ context.Context, request *pulumirpc.CheckRequest,
) (*pulumirpc.CheckResponse, error) {
	var failures []*pulumirpc.CheckFailure
	for name := range request.GetNews().GetFields() {
		if name != "version" && name != "pluginDownloadURL" && !strings.HasPrefix(name, "__") {
			failures = append(failures, &pulumirpc.CheckFailure{Property: name, Reason: fmt.Sprintf(
				"this stand-in for the official %s provider takes no configuration", server.provider.Name)})
		}
	}
	return &pulumirpc.CheckResponse{Inputs: request.GetNews(), Failures: failures}, nil
}

func (server *server) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
}

func (server *server) Configure(
	context.Context, *pulumirpc.ConfigureRequest,
) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{AcceptSecrets: true, SupportsPreview: true, AcceptResources: true}, nil
}

func (server *server) Check(_ context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	resource, _, err := server.provider.resource(request.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, failures := check(resource.Fields(), property.Decode(request.GetNews()), "")
	return &pulumirpc.CheckResponse{Inputs: property.Encode(inputs), Failures: wireFailures(failures)}, nil
}

func wireFailures(failures []Failure) []*pulumirpc.CheckFailure {
	var wire []*pulumirpc.CheckFailure
	for _, failure := range failures {
		wire = append(wire, &pulumirpc.CheckFailure{Property: failure.Property, Reason: failure.Reason})
	}
	return wire
}

func (server *server) Diff(_ context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	resource, _, err := server.provider.resource(request.GetUrn())
	if err != nil {
		return nil, err
	}
	olds := request.GetOldInputs()
	if olds == nil { // an engine that sends no old inputs: the state echoes them
		olds = request.GetOlds()
	}
	return diff(resource.Fields(), property.Decode(olds), property.Decode(request.GetNews()), request.GetIgnoreChanges()), nil
}

func (server *server) Create(
	ctx context.Context, request *pulumirpc.CreateRequest,
) (*pulumirpc.CreateResponse, error) {
	resource, call, err := server.call(request.GetUrn(), "", request.GetProperties(), nil, request.GetPreview())
	if err != nil {
		return nil, err
	}
	ctx, cancel := server.bounded(ctx, request.GetTimeout())
	defer cancel()
	id, outputs, err := resource.Create(ctx, call)
	if err != nil {
		return nil, err
	}
	if request.GetPreview() {
		id = ""
	}
	return &pulumirpc.CreateResponse{Id: id, Properties: property.Encode(outputs)}, nil
}

// Read has nothing to look at outside the state: it gives back what the engine knows.
func (server *server) Read(_ context.Context, request *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	resource, call, err := server.call(request.GetUrn(), request.GetId(), request.GetInputs(), request.GetProperties(), false)
	if err != nil {
		return nil, err
	}
	if len(call.State) == 0 {
		return nil, fmt.Errorf("%s %s can't be imported: it exists in a Pulumi state only", resource.Token(), call.ID)
	}
	return &pulumirpc.ReadResponse{
		Id: request.GetId(), Inputs: request.GetInputs(), Properties: property.Encode(resource.Read(call)),
	}, nil
}

func (server *server) Update(
	ctx context.Context, request *pulumirpc.UpdateRequest,
) (*pulumirpc.UpdateResponse, error) {
	resource, call, err := server.call(
		request.GetUrn(), request.GetId(), request.GetNews(), request.GetOlds(), request.GetPreview())
	if err != nil {
		return nil, err
	}
	ctx, cancel := server.bounded(ctx, request.GetTimeout())
	defer cancel()
	outputs, err := resource.Update(ctx, call)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.UpdateResponse{Properties: property.Encode(outputs)}, nil
}

func (server *server) Delete(ctx context.Context, request *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	resource, call, err := server.call(request.GetUrn(), request.GetId(), nil, request.GetProperties(), false)
	if err != nil {
		return nil, err
	}
	ctx, cancel := server.bounded(ctx, request.GetTimeout())
	defer cancel()
	return &emptypb.Empty{}, resource.Delete(ctx, call)
}

func (server *server) Invoke(
	ctx context.Context, request *pulumirpc.InvokeRequest,
) (*pulumirpc.InvokeResponse, error) {
	for _, function := range server.provider.Functions {
		if function.Token() != request.GetTok() {
			continue
		}
		arguments, failures := check(function.Fields(), property.Decode(request.GetArgs()), "")
		if len(failures) > 0 {
			return &pulumirpc.InvokeResponse{Failures: wireFailures(failures)}, nil
		}
		ctx, cancel := server.bounded(ctx, 0)
		defer cancel()
		result, err := function.Invoke(ctx, arguments)
		if err != nil {
			return nil, err
		}
		return &pulumirpc.InvokeResponse{Return: property.Encode(result)}, nil
	}
	return nil, fmt.Errorf("this stand-in for the official %s provider has no function %s: install the official plugin %s for it",
		server.provider.Name, request.GetTok(), server.provider.Version)
}

// Cancel ends what runs: local commands are stopped, SSH connections closed.
func (server *server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	server.cancel()
	return &emptypb.Empty{}, nil
}

func (server *server) call(
	urn, id string, inputs, state *structpb.Struct, preview bool,
) (Resource, Call, error) {
	resource, name, err := server.provider.resource(urn)
	if err != nil {
		return nil, Call{}, err
	}
	return resource, Call{
		Name: name, ID: id, Inputs: property.Decode(inputs), State: property.Decode(state), Preview: preview,
		Log: engineLog{engine: server.engine, urn: urn},
	}, nil
}

// bounded gives a context that ends with the request, with Cancel, or after the resource's own timeout (seconds; 0 is none).
func (server *server) bounded(ctx context.Context, seconds float64) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(server.running, func() { cancel(fmt.Errorf("cancelled by the engine")) })
	release := func() { stop(); cancel(nil) }
	if seconds <= 0 {
		return ctx, release
	}
	limit := time.Duration(seconds * float64(time.Second))
	limited, end := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than its custom timeout of %s", limit))
	return limited, func() { end(); release() }
}
