package s3blob

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A body in signed chunks is S3's oldest way to sign what is not known
// beforehand: Content-Encoding aws-chunked with the payload hash
// STREAMING-AWS4-HMAC-SHA256-PAYLOAD. Each chunk is signed together with the
// signature before it, and a last chunk without bytes says that the body was
// whole. A server cannot take half of it for all.
const (
	chunkSize    = 64 << 10
	chunkedHash  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	chunkedCode  = "aws-chunked"
	signaturePre = ";chunk-signature="
	signatureLen = 64 // in hex
)

// chunkedLength gives the length of a body of size bytes in signed chunks.
func chunkedLength(size int64) int64 {
	frame := func(n int64) int64 {
		return int64(len(strconv.FormatInt(n, 16))+len(signaturePre)+signatureLen+len("\r\n\r\n")) + n
	}
	total := size/chunkSize*frame(chunkSize) + frame(0)
	if rest := size % chunkSize; rest > 0 {
		total += frame(rest)
	}
	return total
}

// chunks writes src in signed chunks. It is read by the transport only.
type chunks struct {
	src    io.Reader
	left   int64 // bytes of src
	keys   aws.Credentials
	region string

	signer *v4.StreamSigner // set once the request is signed
	at     time.Time
	raw    []byte
	out    []byte // what is encoded and not read yet
	over   bool
}

// options make a request send c.
func (c *chunks) options(size int64, encoding string) func(*s3.Options) {
	if encoding != "" {
		encoding = "," + encoding
	}
	return s3.WithAPIOptions(
		func(stack *middleware.Stack) error {
			_, err := stack.Finalize.Swap("ComputePayloadHash", middleware.FinalizeMiddlewareFunc("ComputePayloadHash",
				func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
					return next.HandleFinalize(v4.SetPayloadHash(ctx, chunkedHash), in)
				}))
			return err
		},
		func(stack *middleware.Stack) error {
			return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("SeedChunkSignature", c.seed), "Signing", middleware.After)
		},
		smithyhttp.SetHeaderValue("Content-Encoding", chunkedCode+encoding),
		smithyhttp.SetHeaderValue("X-Amz-Decoded-Content-Length", strconv.FormatInt(size, 10)),
	)
}

// seed takes the request's own signature, to which the first chunk's is tied.
func (c *chunks) seed(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("the request is a %T", in.Request)
	}
	_, sig, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	first, err := hex.DecodeString(sig)
	if err == nil {
		c.at, err = time.Parse("20060102T150405Z", req.Header.Get("X-Amz-Date"))
	}
	if err != nil {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("the signed request has no signature to go on from: %w", err)
	}
	c.signer = v4.NewStreamSigner(c.keys, "s3", c.region, first)
	return next.HandleFinalize(ctx, in)
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.out) == 0 {
		if c.over {
			return 0, io.EOF
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// fill encodes the next chunk, and the one that ends the body once src has
// told that it ends well.
func (c *chunks) fill() error {
	if c.raw == nil {
		c.raw = make([]byte, min(chunkSize, c.left))
	}
	c.out = c.out[:0]
	if c.left > 0 {
		n, err := io.ReadFull(c.src, c.raw[:min(int64(len(c.raw)), c.left)])
		if err != nil {
			return err
		}
		c.left -= int64(n)
		if err := c.frame(c.raw[:n]); err != nil {
			return err
		}
	}
	if c.left > 0 {
		return nil
	}
	c.over = true
	return c.frame(nil)
}

func (c *chunks) frame(data []byte) error {
	sig, err := c.signer.GetSignature(context.Background(), nil, data, c.at)
	if err != nil {
		return err
	}
	c.out = fmt.Appendf(c.out, "%x%s%x\r\n", len(data), signaturePre, sig)
	c.out = append(c.out, data...)
	c.out = append(c.out, "\r\n"...)
	return nil
}

// decoded takes the transfer's own word out of a Content-Encoding, where a
// server has kept it.
func decoded(encoding string) string {
	if !strings.Contains(encoding, chunkedCode) {
		return encoding
	}
	var rest []string
	for _, e := range strings.Split(encoding, ",") {
		if e = strings.TrimSpace(e); e != chunkedCode && e != "" {
			rest = append(rest, e)
		}
	}
	return strings.Join(rest, ", ")
}
