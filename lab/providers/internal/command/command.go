// Package command is the `command` provider: commands that run on this computer or over SSH when a resource is created,
// updated and deleted. It keeps the schema and the rules of the official provider 1.2.1; the README lists what it leaves out.
package command

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// Provider serves the resources and functions of this package under a version.
func Provider(version string) protocol.Provider {
	return protocol.Provider{
		Name: "command", Version: version,
		Resources: []protocol.Resource{local(), remote()},
		Functions: []protocol.Function{localRun{}},
	}
}

// runner runs one command line with the given inputs. Properties are those of the resource, for what only one kind of
// command has (directory, connection).
type runner func(ctx context.Context, line string, read inputs, properties property.Map, log protocol.Log) (stdout, stderr string, err error)

// resource is a command's life, the same for local and remote ones.
type resource struct {
	token  string
	fields []protocol.Field
	run    runner
}

func (resource resource) Token() string            { return resource.token }
func (resource resource) Fields() []protocol.Field { return resource.fields }

// Read gives the state back: nothing is known of a command but what it wrote.
func (resource resource) Read(call protocol.Call) property.Map { return call.State }

func (resource resource) Create(ctx context.Context, call protocol.Call) (string, property.Map, error) {
	id := call.Name + uniqueSuffix()
	read := readInputs(call.Inputs, nil)
	outputs, err := resource.step(ctx, call, mayRun(call.Inputs, "create"), read.create, read)
	return id, outputs, err
}

func (resource resource) Update(ctx context.Context, call protocol.Call) (property.Map, error) {
	read := readInputs(call.Inputs, call.State)
	return resource.step(ctx, call, mayRun(call.Inputs, "create", "update"), read.onUpdate(), read)
}

// Delete uses the old command over the old connection: the state is all that is known of the resource.
func (resource resource) Delete(ctx context.Context, call protocol.Call) error {
	read := readInputs(call.State, call.State)
	if read.delete == nil {
		return nil
	}
	_, _, err := resource.run(ctx, *read.delete, read, property.PlainMap(call.State), call.Log)
	return err
}

func (resource resource) step(
	ctx context.Context, call protocol.Call, runs bool, line *string, read inputs,
) (property.Map, error) {
	switch {
	case call.Preview && runs:
		return results(call.Inputs, property.Unknown{}, property.Unknown{}), nil
	case line == nil || call.Preview: // nothing to run: the outputs stay what they were
		return results(call.Inputs, previous(call.State, "stdout"), previous(call.State, "stderr")), nil
	}
	stdout, stderr, err := resource.run(ctx, *line, read, property.PlainMap(call.Inputs), call.Log)
	if err != nil {
		return nil, err
	}
	return results(call.Inputs, stdout, stderr), nil
}

// mayRun tells whether one of the commands is given, be its text known or not.
func mayRun(properties property.Map, commands ...string) bool {
	for _, name := range commands {
		if properties[name] != nil {
			return true
		}
	}
	return false
}

func previous(state property.Map, name string) any {
	if value, known := state[name]; known {
		return value
	}
	return ""
}

func uniqueSuffix() string {
	suffix := make([]byte, 4)
	_, _ = rand.Read(suffix) // crypto/rand.Read never fails since Go 1.24
	return hex.EncodeToString(suffix)
}
