// Package certificates is the `tls` provider: private keys, certificate requests and X.509 certificates that are made on
// this computer and live in the Pulumi state only. It keeps the schema and the rules of the official provider 5.3.1; the
// README lists what it leaves out.
package certificates

import (
	"context"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// Provider serves the resources and functions of this package under a version.
func Provider(version string) protocol.Provider {
	return protocol.Provider{
		Name: "tls", Version: version,
		Resources: []protocol.Resource{privateKey(), certificateRequest(), selfSigned(), locallySigned()},
		Functions: []protocol.Function{publicKeyFunction{}},
	}
}

// resource is the life of everything here: made once from its inputs, and made anew when one of them changes.
type resource struct {
	token  string
	fields []protocol.Field
	// defaults are outputs of inputs that were not given; they are not written into the inputs.
	defaults property.Map
	// computed are the outputs that only creation knows, secret those among them that must be hidden.
	computed []string
	secret   []string
	// create makes the thing from inputs without secrets around them, and gives its id and its computed outputs.
	create func(inputs property.Map) (id string, computed property.Map, err error)
}

func (resource resource) Token() string            { return resource.token }
func (resource resource) Fields() []protocol.Field { return resource.fields }

func (resource resource) Create(_ context.Context, call protocol.Call) (string, property.Map, error) {
	outputs := resource.given(call.Inputs)
	if call.Preview {
		for _, name := range resource.computed {
			outputs[name] = property.Unknown{}
		}
		resource.hide(outputs)
		return "", outputs, nil
	}
	id, computed, err := resource.create(property.PlainMap(outputs))
	if err != nil {
		return "", nil, err
	}
	for name, value := range computed {
		outputs[name] = value
	}
	outputs["id"] = id
	resource.hide(outputs)
	return id, outputs, nil
}

// given are the inputs with the defaults, as they stand in the outputs.
func (resource resource) given(inputs property.Map) property.Map {
	outputs := property.Map{}
	for name, value := range resource.defaults {
		outputs[name] = value
	}
	for name, value := range inputs {
		outputs[name] = value
	}
	return outputs
}

func (resource resource) hide(outputs property.Map) {
	for _, name := range resource.secret {
		outputs[name] = property.AsSecret(outputs[name])
	}
}

// Read brings a certificate's age up to date; everything else stands in the state.
func (resource resource) Read(call protocol.Call) property.Map { return withRenewal(call.State) }

// Update is reached by inputs that change nothing about what was made.
func (resource resource) Update(_ context.Context, call protocol.Call) (property.Map, error) {
	outputs := resource.given(call.Inputs)
	for _, name := range append([]string{"id"}, resource.computed...) {
		if value, known := call.State[name]; known {
			outputs[name] = value
		}
	}
	resource.hide(outputs)
	return outputs, nil
}

// Delete has nothing to do: nothing exists outside the state.
func (resource resource) Delete(context.Context, protocol.Call) error { return nil }

func textOf(properties property.Map, name string) string {
	text, _ := properties[name].(string)
	return text
}

func textsOf(properties property.Map, name string) []string {
	var texts []string
	list, _ := properties[name].([]any)
	for _, element := range list {
		if text, ok := element.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

func flagOf(properties property.Map, name string) bool {
	flag, _ := properties[name].(bool)
	return flag
}

func numberOf(properties property.Map, name string) int64 {
	number, _ := properties[name].(float64)
	return int64(number)
}
