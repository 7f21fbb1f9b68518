package command

import (
	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// inputs are the properties that local and remote commands share, read from the old state or the new inputs.
type inputs struct {
	create      *string
	update      *string
	delete      *string
	stdin       string
	logging     string
	environment map[string]string
	// previous are the outputs of the last run, for the next one's environment; empty where they are not wanted.
	previousStdout string
	previousStderr string
}

// sharedFields are the input properties of both commands (schema of the official provider 1.2.1).
func sharedFields() []protocol.Field {
	return []protocol.Field{
		{Name: "create", Type: protocol.Text},
		{Name: "update", Type: protocol.Text},
		{Name: "delete", Type: protocol.Text},
		{Name: "triggers", Type: protocol.List, Replaces: true},
		{Name: "stdin", Type: protocol.Text},
		{Name: "environment", Type: protocol.TextMap},
		{Name: "logging", Type: protocol.Text, OneOf: []string{"stdout", "stderr", "stdoutAndStderr", "none"}},
		{Name: "addPreviousOutputInEnv", Type: protocol.Boolean},
	}
}

// readInputs takes the commands from properties, and the previous outputs from state.
func readInputs(properties, state property.Map) inputs {
	plain := property.PlainMap(properties)
	read := inputs{
		create: text(plain, "create"), update: text(plain, "update"), delete: text(plain, "delete"),
		stdin: textOr(plain, "stdin", ""), logging: textOr(plain, "logging", ""),
		environment: map[string]string{},
	}
	variables, _ := plain["environment"].(property.Map)
	for name := range variables {
		read.environment[name] = textOr(variables, name, "")
	}
	if wanted, given := plain["addPreviousOutputInEnv"].(bool); !given || wanted {
		before := property.PlainMap(state)
		read.previousStdout, read.previousStderr = textOr(before, "stdout", ""), textOr(before, "stderr", "")
	}
	return read
}

// onUpdate is the command of an update: `update`, or `create` again where there is none.
func (read inputs) onUpdate() *string {
	if read.update != nil {
		return read.update
	}
	return read.create
}

// results puts a run's outputs beside the inputs. What a command writes may repeat any secret that it was given, so an
// output is secret as soon as an input is. The connection is always secret and therefore does not count.
func results(properties property.Map, stdout, stderr any) property.Map {
	outputs, secret := property.Map{}, false
	for name, value := range properties {
		outputs[name] = value
		secret = secret || name != "connection" && property.HasSecret(value)
	}
	outputs["stdout"], outputs["stderr"] = stdout, stderr
	if secret {
		outputs["stdout"], outputs["stderr"] = property.AsSecret(stdout), property.AsSecret(stderr)
	}
	return outputs
}

func text(properties property.Map, name string) *string {
	if value, ok := properties[name].(string); ok {
		return &value
	}
	return nil
}

func textOr(properties property.Map, name, otherwise string) string {
	if value := text(properties, name); value != nil {
		return *value
	}
	return otherwise
}
