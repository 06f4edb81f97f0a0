// Go: bufio.Reader.ReadSlice(0) and a bufio.Writer that is flushed when nothing
// more has been read, one goroutine per connection. Buffers of 64 KiB, GOMAXPROCS
// and garbage collector as they come.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
)

const bufferSize = 64 << 10

// conn reads and writes frames.
type conn struct {
	net.Conn
	in    *bufio.Reader
	out   *bufio.Writer
	limit int
	long  []byte // a frame longer than the buffer, gathered from pieces
}

func newConn(c net.Conn, limit int) *conn {
	return &conn{
		Conn:  c,
		in:    bufio.NewReaderSize(c, bufferSize),
		out:   bufio.NewWriterSize(c, bufferSize),
		limit: limit,
	}
}

// next returns the next frame without its delimiter; it is valid until the next call.
func (c *conn) next() ([]byte, error) {
	piece, err := c.in.ReadSlice(0)
	if err == nil {
		return piece[:len(piece)-1], nil
	}
	c.long = c.long[:0]
	for errors.Is(err, bufio.ErrBufferFull) {
		c.long = append(c.long, piece...)
		if len(c.long) > c.limit {
			return nil, fmt.Errorf("frame longer than %d bytes", c.limit)
		}
		piece, err = c.in.ReadSlice(0)
	}
	if err != nil {
		return nil, err
	}
	c.long = append(c.long, piece...)
	return c.long[:len(c.long)-1], nil
}

func (c *conn) write(frame []byte) error {
	c.out.Write(frame) // the writer keeps its first error
	return c.out.WriteByte(0)
}

// idle tells whether the next read would wait.
func (c *conn) idle() bool { return c.in.Buffered() == 0 }

func echo(c *conn) error {
	for {
		frame, err := c.next()
		if err != nil {
			return err
		}
		if err := c.write(frame); err != nil {
			return err
		}
		if c.idle() {
			if err := c.out.Flush(); err != nil {
				return err
			}
		}
	}
}

func ingest(c *conn) error {
	frames, bytes := 0, 0
	for {
		frame, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		frames++
		bytes += len(frame)
	}
	c.write([]byte(fmt.Sprintf(`<totals frames="%d" bytes="%d"/>`, frames, bytes)))
	return c.out.Flush()
}

func relay(from, to *conn) error {
	for {
		frame, err := from.next()
		if err != nil {
			return err
		}
		if err := to.write(frame); err != nil {
			return err
		}
		if from.idle() {
			if err := to.out.Flush(); err != nil {
				return err
			}
		}
	}
}

// hub is the usual one of Go chat servers: a queue and a writing goroutine per
// client; a client whose queue is full is cut.
type hub struct {
	sync.Mutex
	queues map[*conn]chan []byte
}

func (h *hub) join(c *conn) {
	queue := make(chan []byte, 256)
	h.Lock()
	h.queues[c] = queue
	h.Unlock()
	go func() {
		for frame := range queue {
			err := c.write(frame)
			if err == nil && len(queue) == 0 {
				err = c.out.Flush()
			}
			if err != nil {
				c.Close()
			}
		}
	}()
}

func (h *hub) leave(c *conn) {
	h.Lock()
	defer h.Unlock()
	if queue, ok := h.queues[c]; ok {
		delete(h.queues, c)
		close(queue)
	}
}

func (h *hub) broadcast(c *conn) error {
	defer h.leave(c)
	for {
		frame, err := c.next()
		if err != nil {
			return err
		}
		shared := append([]byte(nil), frame...)
		h.Lock()
		for peer, queue := range h.queues {
			select {
			case queue <- shared:
			default:
				delete(h.queues, peer)
				close(queue)
				peer.Close()
			}
		}
		h.Unlock()
	}
}

func main() {
	mode := flag.String("mode", "echo", "echo, ingest, broadcast or relay")
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 0, "port to listen on; 0 takes a free one")
	limit := flag.Int("max-size", 1<<20, "bytes of the largest frame")
	flag.Parse()

	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", *host, *port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	everybody := &hub{queues: make(map[*conn]chan []byte)}
	var waiting *conn
	for {
		accepted, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		c := newConn(accepted, *limit)
		switch *mode {
		case "echo":
			go serve(c, func() error { return echo(c) })
		case "ingest":
			go serve(c, func() error { return ingest(c) })
		case "broadcast":
			everybody.join(c)
			go serve(c, func() error { return everybody.broadcast(c) })
		case "relay":
			if waiting == nil {
				waiting = c
				continue
			}
			partner := waiting
			waiting = nil
			go serve(partner, func() error { return relay(partner, c) })
			go serve(c, func() error { return relay(c, partner) })
		default:
			log.Fatalf("unknown mode %s", *mode)
		}
	}
}

// serve closes the connection when its work is done. Errors of one connection
// are the load generator's leaving.
func serve(c *conn, work func() error) {
	defer c.Close()
	if err := work(); err != nil && !errors.Is(err, io.EOF) {
		var closed net.Error
		if !errors.As(err, &closed) && !errors.Is(err, net.ErrClosed) {
			log.Print(err)
		}
	}
}
