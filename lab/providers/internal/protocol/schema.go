package protocol

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"hardway/lab/providers/internal/property"
)

// Type is the type of an input property.
type Type int

// The types that inputs can have; Integer is a Number without a fraction, Texts a list of strings, TextMap an object whose
// values are strings, Object an object with the fields that are listed.
const (
	Anything Type = iota
	Text
	Number
	Integer
	Boolean
	List
	Texts
	TextMap
	Object
)

// Field describes one input property. A Default is written into the checked inputs, as the official schema does where it
// names one.
type Field struct {
	Name     string
	Type     Type
	Required bool
	Secret   bool
	Replaces bool
	Default  any
	OneOf    []string
	Minimum  *float64
	Fields   []Field
	// Refused is a property of the official schema that this stand-in does not serve: the reason, for the user.
	Refused string
}

// Failure is a mistake in the inputs: where and why.
type Failure struct{ Property, Reason string }

// check validates inputs against fields and gives them back with defaults and secret marks.
func check(fields []Field, inputs property.Map, place string) (property.Map, []Failure) {
	var failures []Failure
	checked := property.Map{}
	for name, value := range inputs {
		checked[name] = value
		known := slices.ContainsFunc(fields, func(field Field) bool { return field.Name == name })
		if !known && !strings.HasPrefix(name, "__") {
			failures = append(failures, Failure{place + name, fmt.Sprintf(
				"there is no such property; known are %s", strings.Join(fieldNames(fields), ", "))})
		}
	}
	for _, field := range fields {
		value, mistakes := checkField(field, inputs[field.Name], place)
		failures = append(failures, mistakes...)
		if value != nil {
			checked[field.Name] = value
		}
	}
	return checked, failures
}

func fieldNames(fields []Field) []string {
	var known []string
	for _, field := range fields {
		known = append(known, field.Name)
	}
	slices.Sort(known)
	return known
}

func checkField(field Field, value any, place string) (any, []Failure) {
	path := place + field.Name
	if value == nil && field.Default != nil {
		value = field.Default
	}
	if value == nil {
		if field.Required {
			return nil, []Failure{{path, "this property is required and was not given"}}
		}
		return nil, nil
	}
	if field.Refused != "" {
		return value, []Failure{{path, field.Refused}}
	}
	plain := property.Plain(value)
	if _, unknown := plain.(property.Unknown); !unknown {
		if reason := mismatch(field, plain); reason != "" {
			return value, []Failure{{path, reason}}
		}
	}
	var failures []Failure
	if field.Type == Object {
		value, failures = checkObject(field, value, path)
	}
	if field.Secret {
		value = property.AsSecret(value)
	}
	return value, failures
}

func checkObject(field Field, value any, path string) (any, []Failure) {
	switch value := value.(type) {
	case property.Secret:
		inner, failures := checkObject(field, value.Value, path)
		return property.Secret{Value: inner}, failures
	case property.Map:
		checked, failures := check(field.Fields, value, path+".")
		return checked, failures
	default:
		return value, nil
	}
}

// mismatch gives the reason why a known value does not fit the field, or nothing.
func mismatch(field Field, value any) string {
	switch field.Type {
	case Text:
		text, ok := value.(string)
		if !ok {
			return wrongType("a string", value)
		}
		if len(field.OneOf) > 0 && !slices.Contains(field.OneOf, text) {
			return fmt.Sprintf("%q is not one of %s", text, strings.Join(field.OneOf, ", "))
		}
	case Number, Integer:
		return mismatchedNumber(field, value)
	case Boolean:
		if _, ok := value.(bool); !ok {
			return wrongType("true or false", value)
		}
	case List:
		if _, ok := value.([]any); !ok {
			return wrongType("a list", value)
		}
	case Texts:
		return mismatchedTexts(field, value)
	case TextMap, Object:
		object, ok := value.(property.Map)
		if !ok {
			return wrongType("an object", value)
		}
		for name, element := range object {
			if field.Type == TextMap && !isTextOrUnknown(element) {
				return fmt.Sprintf("%s must be a string", name)
			}
		}
	}
	return ""
}

func mismatchedNumber(field Field, value any) string {
	number, ok := value.(float64)
	if !ok {
		return wrongType("a number", value)
	}
	if field.Type == Integer && number != math.Trunc(number) {
		return fmt.Sprintf("%v is not a whole number", number)
	}
	if field.Minimum != nil && number < *field.Minimum {
		return fmt.Sprintf("%v is less than %v", number, *field.Minimum)
	}
	return ""
}

func mismatchedTexts(field Field, value any) string {
	list, ok := value.([]any)
	if !ok {
		return wrongType("a list", value)
	}
	for index, element := range list {
		if !isTextOrUnknown(element) {
			return fmt.Sprintf("element %d must be a string", index)
		}
		text, known := element.(string)
		if known && len(field.OneOf) > 0 && !slices.Contains(field.OneOf, text) {
			return fmt.Sprintf("%q is not one of %s", text, strings.Join(field.OneOf, ", "))
		}
	}
	return ""
}

func isTextOrUnknown(value any) bool {
	switch value.(type) {
	case string, property.Unknown:
		return true
	default:
		return false
	}
}

func wrongType(wanted string, value any) string {
	found := "an object"
	switch value.(type) {
	case string:
		found = "a string"
	case float64:
		found = "a number"
	case bool:
		found = "a boolean"
	case []any:
		found = "a list"
	}
	return fmt.Sprintf("must be %s, not %s", wanted, found)
}

// packageSchema writes a Pulumi package schema that is enough to list the resources and their inputs.
func packageSchema(provider Provider) (string, error) {
	resources := map[string]any{}
	for _, resource := range provider.Resources {
		inputs, required := describe(resource.Fields())
		resources[resource.Token()] = map[string]any{"inputProperties": inputs, "requiredInputs": required}
	}
	text, err := json.Marshal(map[string]any{
		"name": provider.Name, "version": provider.Version, "resources": resources,
	})
	return string(text), err
}

func describe(fields []Field) (map[string]any, []string) {
	jsonTypes := map[Type]string{
		Text: "string", Number: "number", Integer: "integer", Boolean: "boolean",
		List: "array", Texts: "array", TextMap: "object", Object: "object",
	}
	properties, required := map[string]any{}, []string{}
	for _, field := range fields {
		description := map[string]any{"secret": field.Secret, "replaceOnChanges": field.Replaces}
		switch field.Type {
		case Anything:
			description["$ref"] = "pulumi.json#/Any"
		case List:
			description["type"], description["items"] = jsonTypes[field.Type], map[string]any{"$ref": "pulumi.json#/Any"}
		case Texts:
			description["type"], description["items"] = jsonTypes[field.Type], map[string]any{"type": "string"}
		default:
			description["type"] = jsonTypes[field.Type]
		}
		properties[field.Name] = description
		if field.Required {
			required = append(required, field.Name)
		}
	}
	return properties, required
}
