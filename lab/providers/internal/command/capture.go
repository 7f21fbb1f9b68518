package command

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// longestLine is where a line is cut for the engine's screen; the captured output stays whole.
const longestLine = 16 << 10

// capture collects what a command writes: each stream for the outputs, both in order for the error message, and finished
// lines for the engine's screen.
type capture struct {
	mutex  sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
	both   bytes.Buffer
	lines  *lineQueue
	shown  map[*bytes.Buffer]bool
	rest   []byte
}

func newCapture(logging string, show func(string)) *capture {
	captured := &capture{lines: newLineQueue(show)}
	captured.shown = map[*bytes.Buffer]bool{
		&captured.stdout: logging != "none" && logging != "stderr",
		&captured.stderr: logging != "none" && logging != "stdout",
	}
	return captured
}

// stream is one of the two writers of a capture.
type stream struct {
	capture *capture
	buffer  *bytes.Buffer
}

func (captured *capture) Stdout() stream { return stream{captured, &captured.stdout} }
func (captured *capture) Stderr() stream { return stream{captured, &captured.stderr} }

func (stream stream) Write(written []byte) (int, error) {
	captured := stream.capture
	captured.mutex.Lock()
	defer captured.mutex.Unlock()
	stream.buffer.Write(written)
	captured.both.Write(written)
	if captured.shown[stream.buffer] {
		captured.split(written)
	}
	return len(written), nil
}

func (captured *capture) split(written []byte) {
	captured.rest = append(captured.rest, written...)
	for {
		end := bytes.IndexByte(captured.rest, '\n')
		next := end + 1
		if end < 0 {
			if len(captured.rest) < longestLine {
				return
			}
			end, next = longestLine, longestLine
		}
		captured.lines.add(string(captured.rest[:end]))
		captured.rest = captured.rest[next:]
	}
}

// finish shows the last line and waits until every line is shown.
func (captured *capture) finish() {
	captured.mutex.Lock()
	if len(captured.rest) > 0 {
		captured.lines.add(string(captured.rest))
		captured.rest = nil
	}
	captured.mutex.Unlock()
	captured.lines.close()
}

// outputs gives both streams without the newline that ends them.
func (captured *capture) outputs() (stdout, stderr string) {
	captured.mutex.Lock()
	defer captured.mutex.Unlock()
	return strings.TrimSuffix(captured.stdout.String(), "\n"), strings.TrimSuffix(captured.stderr.String(), "\n")
}

// failure is the error of a command: why, the whole command text, and everything that it wrote.
func (captured *capture) failure(reason error, text string) error {
	captured.mutex.Lock()
	defer captured.mutex.Unlock()
	return fmt.Errorf("%w: running %q:\n%s", reason, text, captured.both.String())
}

// lineQueue shows lines in order without holding up the command that writes them.
type lineQueue struct {
	mutex   sync.Mutex
	changed *sync.Cond
	waiting []string
	closed  bool
	done    chan struct{}
}

func newLineQueue(show func(string)) *lineQueue {
	queue := &lineQueue{done: make(chan struct{})}
	queue.changed = sync.NewCond(&queue.mutex)
	go queue.run(show)
	return queue
}

func (queue *lineQueue) add(line string) {
	queue.mutex.Lock()
	defer queue.mutex.Unlock()
	queue.waiting = append(queue.waiting, strings.ToValidUTF8(line, "\uFFFD"))
	queue.changed.Signal()
}

// close returns when the last line is shown.
func (queue *lineQueue) close() {
	queue.mutex.Lock()
	queue.closed = true
	queue.changed.Signal()
	queue.mutex.Unlock()
	<-queue.done
}

func (queue *lineQueue) run(show func(string)) {
	defer close(queue.done)
	for {
		lines := queue.take()
		if len(lines) == 0 {
			return
		}
		for _, line := range lines {
			show(line)
		}
	}
}

// take waits for lines; none means that the queue is closed and empty.
func (queue *lineQueue) take() []string {
	queue.mutex.Lock()
	defer queue.mutex.Unlock()
	for len(queue.waiting) == 0 && !queue.closed {
		queue.changed.Wait()
	}
	lines := queue.waiting
	queue.waiting = nil
	return lines
}
