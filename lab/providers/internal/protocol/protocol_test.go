package protocol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"

	"hardway/lab/providers/internal/property"
)

// waiting is a resource whose Create takes as long as its context lets it.
type waiting struct{}

func (waiting) Token() string { return "test:index:Waiting" }
func (waiting) Fields() []Field {
	return []Field{
		{Name: "text", Type: Text, Required: true},
		{Name: "again", Type: List, Replaces: true},
		{Name: "size", Type: Integer, Default: 3.0},
		{Name: "place", Type: Object, Secret: true, Fields: []Field{{Name: "host", Type: Text, Required: true}}},
		{Name: "never", Type: Text, Refused: "not served"},
	}
}
func (waiting) Create(ctx context.Context, _ Call) (string, property.Map, error) {
	<-ctx.Done()
	return "", nil, context.Cause(ctx)
}
func (waiting) Read(call Call) property.Map                               { return call.State }
func (waiting) Update(_ context.Context, call Call) (property.Map, error) { return call.Inputs, nil }
func (waiting) Delete(context.Context, Call) error                        { return nil }

const urn = "urn:pulumi:stack::project::a:b:C$test:index:Waiting::name::with::colons"

func testServer() *server {
	return newServer(Provider{Name: "test", Version: "1.0.0", Resources: []Resource{waiting{}}})
}

func TestTheTypeIsTheLastOfAURNsTypes(t *testing.T) {
	token, name, err := resourceName(urn)
	if token != "test:index:Waiting" || name != "name::with::colons" || err != nil {
		t.Errorf("%q %q %v", token, name, err)
	}
	if _, _, err := resourceName("nonsense"); err == nil {
		t.Error("nonsense passed as a URN")
	}
}

func TestATypeThatIsNotServedNamesTheWayOut(t *testing.T) {
	_, err := testServer().Check(t.Context(), &pulumirpc.CheckRequest{Urn: "urn:pulumi:s::p::test:index:Other::n"})
	if err == nil || !strings.Contains(err.Error(), "install the official plugin 1.0.0") {
		t.Errorf("the error is %v", err)
	}
}

func TestCheckFillsDefaultsMarksSecretsAndNamesEveryMistake(t *testing.T) {
	inputs, failures := check(waiting{}.Fields(), property.Map{"text": "a", "place": property.Map{"host": "h"}}, "")
	_, secret := inputs["place"].(property.Secret)
	if len(failures) > 0 || inputs["size"] != 3.0 || !secret {
		t.Errorf("%v %v", inputs, failures)
	}
	_, failures = check(waiting{}.Fields(), property.Map{
		"again": "x", "size": 1.5, "place": property.Map{"hots": "h"}, "never": "x", "txet": "x",
	}, "")
	found := map[string]bool{}
	for _, failure := range failures {
		found[failure.Property] = true
	}
	for _, place := range []string{"text", "again", "size", "place.host", "place.hots", "never", "txet"} {
		if !found[place] {
			t.Errorf("no failure at %s among %v", place, failures)
		}
	}
}

func TestUnknownValuesPassTheCheck(t *testing.T) {
	inputs := property.Map{"text": property.Unknown{}, "size": property.Unknown{}, "place": property.Secret{Value: property.Unknown{}}}
	if _, failures := check(waiting{}.Fields(), inputs, ""); len(failures) > 0 {
		t.Errorf("%v", failures)
	}
}

func TestIgnoredChangesAreNone(t *testing.T) {
	olds, news := property.Map{"text": "a", "again": []any{"1"}}, property.Map{"text": "b", "again": []any{"2"}}
	response := diff(waiting{}.Fields(), olds, news, []string{"text"})
	if fmt.Sprint(response.GetReplaces()) != "[again[0]]" || fmt.Sprint(response.GetDiffs()) != "[again]" {
		t.Errorf("%v", response)
	}
	if response := diff(waiting{}.Fields(), olds, news, []string{"text", "again"}); response.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("%v", response)
	}
}

func TestCancelAndTimeoutEndACall(t *testing.T) {
	server := testServer()
	request := &pulumirpc.CreateRequest{Urn: urn, Properties: property.Encode(property.Map{"text": "a"}), Timeout: 0.05}
	if _, err := server.Create(t.Context(), request); err == nil || !strings.Contains(err.Error(), "custom timeout of 50ms") {
		t.Errorf("the error is %v", err)
	}
	request.Timeout = 0
	time.AfterFunc(50*time.Millisecond, func() { _, _ = server.Cancel(context.Background(), &emptypb.Empty{}) })
	if _, err := server.Create(t.Context(), request); err == nil || !strings.Contains(err.Error(), "cancelled by the engine") {
		t.Errorf("the error is %v", err)
	}
}

func TestTheLossOfTheEngineIsNoticed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go watch(listener.Addr().String(), 20*time.Millisecond, func() { gone <- errors.New("gone") })
	select {
	case <-gone:
		t.Fatal("an engine that listens was given up")
	case <-time.After(200 * time.Millisecond):
	}
	_ = listener.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("a dead engine was not noticed")
	}
}

func TestAConfigurationIsRefused(t *testing.T) {
	response, err := testServer().CheckConfig(t.Context(), &pulumirpc.CheckRequest{
		News: property.Encode(property.Map{"version": "1.0.0", "proxy": property.Map{"url": "u"}}),
	})
	if err != nil || len(response.GetFailures()) != 1 || response.GetFailures()[0].GetProperty() != "proxy" {
		t.Errorf("%v %v", response, err)
	}
}
