// Package property holds the values that travel between the engine and a provider: decoding them from the
// wire, encoding them again, and comparing two sets of them.
//
// A value is nil, bool, float64, string, []any, Map, Secret or Unknown. Assets, archives and resource references
// stay Maps with their signature, so that they come back to the engine as they came. The package does not
// use the SDK's own resource package: that one pulls in several hundred packages and makes the executable
// slower to start than the commands that it runs.
package property

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// Map is an object: property names to values.
type Map = map[string]any

// Secret marks a value that the engine encrypts in its state and hides on the screen.
type Secret struct{ Value any }

// Unknown stands for a value that a preview can't know yet.
type Unknown struct{}

// The signatures of Pulumi's wire format (sdk/v3/go/common/resource, sig.go and plugin/rpc.go).
const (
	signatureKey    = "4dabf18193072939515e22adb298388d"
	secretSignature = "1b47061264138c4ac30d75fd1eb44270"
	outputSignature = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
	unknownString   = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
)

var unknownSentinels = map[string]bool{
	"1c4a061d-8072-4f0a-a4cb-0ff528b18fe7": true, // boolean
	"3eeb2bf0-c639-47a8-9e75-3b44932eb421": true, // number
	unknownString:                          true,
	"6a19a0b0-7e62-4c92-b797-7f8e31da9cc2": true, // array
	"030794c1-ac77-496b-92df-f27374a8bd58": true, // asset
	"e48ece36-62e2-4504-bad9-02848725956a": true, // archive
	"dd056dcd-154b-4c76-9bd3-c8f88648b5ff": true, // object
}

// Decode reads an object from the wire; a nil struct gives an empty Map, nulls are left out.
func Decode(object *structpb.Struct) Map {
	decoded := Map{}
	for name, field := range object.GetFields() {
		if value := decodeValue(field); value != nil {
			decoded[name] = value
		}
	}
	return decoded
}

func decodeValue(value *structpb.Value) any {
	switch kind := value.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return kind.BoolValue
	case *structpb.Value_NumberValue:
		return kind.NumberValue
	case *structpb.Value_StringValue:
		if unknownSentinels[kind.StringValue] {
			return Unknown{}
		}
		return kind.StringValue
	case *structpb.Value_ListValue:
		list := make([]any, 0, len(kind.ListValue.GetValues()))
		for _, element := range kind.ListValue.GetValues() {
			list = append(list, decodeValue(element))
		}
		return list
	case *structpb.Value_StructValue:
		return decodeObject(kind.StructValue)
	default:
		return nil
	}
}

func decodeObject(object *structpb.Struct) any {
	switch object.GetFields()[signatureKey].GetStringValue() {
	case secretSignature:
		return Secret{decodeValue(object.GetFields()["value"])}
	case outputSignature:
		return decodeOutput(object)
	default:
		return Decode(object)
	}
}

func decodeOutput(object *structpb.Struct) any {
	var value any = Unknown{}
	if known, ok := object.GetFields()["value"]; ok {
		value = decodeValue(known)
	}
	if object.GetFields()["secret"].GetBoolValue() {
		return Secret{value}
	}
	return value
}

// Encode writes an object for the wire. Bytes that are no UTF-8 become the replacement character, because the
// wire format refuses them and would turn a command's success into a failure.
func Encode(object Map) *structpb.Struct {
	fields := make(map[string]*structpb.Value, len(object))
	for name, value := range object {
		if value != nil {
			fields[name] = encodeValue(value)
		}
	}
	return &structpb.Struct{Fields: fields}
}

func encodeValue(value any) *structpb.Value {
	switch value := value.(type) {
	case bool:
		return structpb.NewBoolValue(value)
	case float64:
		return structpb.NewNumberValue(value)
	case string:
		return structpb.NewStringValue(strings.ToValidUTF8(value, "\uFFFD"))
	case Unknown:
		return structpb.NewStringValue(unknownString)
	case Secret:
		return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			signatureKey: structpb.NewStringValue(secretSignature),
			"value":      encodeValue(value.Value),
		}})
	case []any:
		list := &structpb.ListValue{}
		for _, element := range value {
			list.Values = append(list.Values, encodeValue(element))
		}
		return structpb.NewListValue(list)
	case Map:
		return structpb.NewStructValue(Encode(value))
	default:
		return structpb.NewNullValue()
	}
}

// Plain gives the value without any Secret around it or within it.
func Plain(value any) any {
	switch value := value.(type) {
	case Secret:
		return Plain(value.Value)
	case []any:
		list := make([]any, len(value))
		for index, element := range value {
			list[index] = Plain(element)
		}
		return list
	case Map:
		object := make(Map, len(value))
		for name, element := range value {
			object[name] = Plain(element)
		}
		return object
	default:
		return value
	}
}

// PlainMap is Plain for a whole object.
func PlainMap(object Map) Map { return Plain(object).(Map) }

// HasSecret tells whether a Secret is the value or lies within it.
func HasSecret(value any) bool {
	return contains(value, func(leaf any) bool { _, secret := leaf.(Secret); return secret })
}

// HasUnknown tells whether an Unknown is the value or lies within it.
func HasUnknown(value any) bool {
	return contains(value, func(leaf any) bool { _, unknown := leaf.(Unknown); return unknown })
}

func contains(value any, wanted func(any) bool) bool {
	if wanted(value) {
		return true
	}
	switch value := value.(type) {
	case Secret:
		return contains(value.Value, wanted)
	case []any:
		for _, element := range value {
			if contains(element, wanted) {
				return true
			}
		}
	case Map:
		for _, element := range value {
			if contains(element, wanted) {
				return true
			}
		}
	}
	return false
}

// AsSecret wraps the value unless it is a secret already.
func AsSecret(value any) any {
	if _, already := value.(Secret); already {
		return value
	}
	return Secret{value}
}
