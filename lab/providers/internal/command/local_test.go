package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

func createLocal(ctx context.Context, inputs property.Map) (property.Map, *screen, error) {
	shown := &screen{}
	_, outputs, err := local().Create(ctx, protocol.Call{Name: "test", Inputs: inputs, Log: shown})
	return outputs, shown, err
}

func TestOneNewlineIsTrimmedAndNoMore(t *testing.T) {
	outputs, _, err := createLocal(t.Context(), property.Map{"create": `printf 'a\n\n'; printf ' b \n' >&2`})
	if err != nil || outputs["stdout"] != "a\n" || outputs["stderr"] != " b " {
		t.Errorf("%q %q %v", outputs["stdout"], outputs["stderr"], err)
	}
}

func TestDirectoryInterpreterEnvironmentAndInputAreUsed(t *testing.T) {
	directory := t.TempDir()
	outputs, _, err := createLocal(t.Context(), property.Map{
		"create": "pwd; echo $A; cat", "dir": directory, "interpreter": []any{"/bin/sh", "-e", "-c"},
		"environment": property.Map{"A": "from outside"}, "stdin": "text",
	})
	if want := directory + "\nfrom outside\ntext"; err != nil || outputs["stdout"] != want {
		t.Errorf("%q %v", outputs["stdout"], err)
	}
}

func TestLoggingChoosesWhatTheScreenShows(t *testing.T) {
	for logging, want := range map[string]string{
		"stdout": "out", "stderr": "err", "none": "", "stdoutAndStderr": "out err",
	} {
		_, shown, err := createLocal(t.Context(), property.Map{"create": "echo out; sleep 0.05; echo err >&2", "logging": logging})
		if got := strings.Join(shown.lines, " "); err != nil || got != want {
			t.Errorf("%s: shown %q, error %v", logging, got, err)
		}
	}
}

func TestALineOfAMegabyteDoesNotBlock(t *testing.T) {
	outputs, shown, err := createLocal(t.Context(), property.Map{"create": "head -c 1000000 /dev/zero | tr '\\0' x"})
	if err != nil || len(outputs["stdout"].(string)) != 1000000 || len(shown.lines) < 2 {
		t.Errorf("%d lines, error %v", len(shown.lines), err)
	}
}

func TestCancellingEndsTheWholeProcessGroup(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "survived")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(errors.New("cancelled by the engine")) })
	begun := time.Now()
	_, _, err := createLocal(ctx, property.Map{"create": "(sleep 1; touch " + marker + ") & wait"})
	if err == nil || !strings.Contains(err.Error(), "cancelled by the engine") || time.Since(begun) > 3*time.Second {
		t.Errorf("after %s the error is %v", time.Since(begun), err)
	}
	time.Sleep(1200 * time.Millisecond)
	if _, err := os.Stat(marker); err == nil {
		t.Error("a child outlived the cancellation")
	}
}

func TestPreviewRunsNothing(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "ran")
	_, outputs, err := local().Create(t.Context(), protocol.Call{
		Inputs: property.Map{"create": "touch " + marker}, Preview: true, Log: &screen{},
	})
	if _, ran := os.Stat(marker); ran == nil || err != nil || outputs["stdout"] != (property.Unknown{}) {
		t.Errorf("outputs %v, error %v", outputs, err)
	}
}
