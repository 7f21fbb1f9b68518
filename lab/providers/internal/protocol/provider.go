// Package protocol serves Pulumi resources over the provider protocol: it starts the gRPC server that the engine
// talks to, turns requests into calls of a Resource, checks inputs and computes differences. What a resource does
// is not known here.
package protocol

import (
	"context"
	"fmt"
	"strings"

	"hardway/lab/providers/internal/property"
)

// Provider is everything that one executable serves.
type Provider struct {
	Name      string
	Version   string
	Resources []Resource
	Functions []Function
}

// Resource is one resource type. Create and Update are called with Preview set when nothing may be done yet; outputs
// that can't be known then are property.Unknown. A failed Create leaves nothing in the state, a failed Update the old.
type Resource interface {
	Token() string
	Fields() []Field
	Create(ctx context.Context, call Call) (id string, outputs property.Map, err error)
	Read(call Call) property.Map
	Update(ctx context.Context, call Call) (property.Map, error)
	Delete(ctx context.Context, call Call) error
}

// Function is one function that a program can invoke.
type Function interface {
	Token() string
	Fields() []Field
	Invoke(ctx context.Context, arguments property.Map) (property.Map, error)
}

// Call carries what the engine knows of a resource. Inputs are the new ones, State the outputs of the last
// successful step; one of them is empty where it can't exist.
type Call struct {
	Name    string
	ID      string
	Inputs  property.Map
	State   property.Map
	Preview bool
	Log     Log
}

// Log writes lines to the engine's screen under the resource that they belong to.
type Log interface {
	// Progress shows a passing line, a warning stays.
	Progress(line string)
	Warning(line string)
}

// resourceName splits a URN (`urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME`) into the type and the name.
func resourceName(urn string) (token, name string, err error) {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) != 4 {
		return "", "", fmt.Errorf("%q is not the URN of a resource", urn)
	}
	types := parts[2]
	return types[strings.LastIndex(types, "$")+1:], parts[3], nil
}

func (provider Provider) resource(urn string) (Resource, string, error) {
	token, name, err := resourceName(urn)
	if err != nil {
		return nil, "", err
	}
	var served []string
	for _, resource := range provider.Resources {
		if resource.Token() == token {
			return resource, name, nil
		}
		served = append(served, resource.Token())
	}
	return nil, "", fmt.Errorf("this stand-in for the official %s provider serves %s, but not %s: "+
		"install the official plugin %s for it", provider.Name, strings.Join(served, ", "), token, provider.Version)
}
