package property

import (
	"reflect"
	"testing"
)

func TestValuesSurviveTheWire(t *testing.T) {
	object := Map{
		"text": "a", "number": 1.5, "flag": true, "list": []any{"x", Unknown{}}, "object": Map{"inner": Secret{"s"}},
		"secret": Secret{Map{"host": "h"}}, "unknown": Unknown{},
		"asset": Map{signatureKey: "c44067f5952c0a294b673a41bacd8c17", "hash": "h"},
	}
	if decoded := Decode(Encode(object)); !reflect.DeepEqual(decoded, object) {
		t.Errorf("came back as %#v", decoded)
	}
}

func TestBytesThatAreNoTextAreReplacedAndNotRefused(t *testing.T) {
	if text := Encode(Map{"a": "x\xffy"}).Fields["a"].GetStringValue(); text != "x\uFFFDy" {
		t.Errorf("encoded as %q", text)
	}
}

func TestDifferencesNameEveryPathOnce(t *testing.T) {
	olds := Map{
		"same": "1", "gone": "x", "text": "a", "list": []any{"a", "b"}, "object": Map{"host": "h", "port": 22.0},
		"hidden": Secret{"s"}, "__defaults": []any{}, "toUnknown": "a",
	}
	news := Map{
		"same": "1", "new": "x", "text": "b", "list": []any{"a", "c", "d"}, "object": Map{"host": "i", "port": 22.0},
		"hidden": "s", "toUnknown": Unknown{},
	}
	want := []Difference{
		{"gone", "gone", Deleted}, {"list[1]", "list", Updated}, {"list[2]", "list", Added}, {"new", "new", Added},
		{"object.host", "object", Updated}, {"text", "text", Updated}, {"toUnknown", "toUnknown", Updated},
	}
	if found := Differences(olds, news); !reflect.DeepEqual(found, want) {
		t.Errorf("found %v", found)
	}
}

func TestANameWithADotIsQuoted(t *testing.T) {
	found := Differences(Map{"environment": Map{"a.b": "1"}}, Map{"environment": Map{"a.b": "2"}})
	if len(found) != 1 || found[0].Path != `environment["a.b"]` {
		t.Errorf("found %v", found)
	}
}

func TestASecretIsFoundWhereverItLies(t *testing.T) {
	if !HasSecret(Map{"a": []any{Map{"b": Secret{"x"}}}}) || HasSecret(Map{"a": "x"}) {
		t.Error("a nested secret was missed, or one was seen where there is none")
	}
}
