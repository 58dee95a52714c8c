package s3blob

import (
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The example of "Signature Calculations for the Authorization Header:
// Transferring Payload in Multiple Chunks" in the Amazon S3 API reference.
func TestChunksAreThoseOfThePublishedExample(t *testing.T) {
	const size = 66560
	seed, err := hex.DecodeString("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
	if err != nil {
		t.Fatal(err)
	}
	keys := aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	c := &chunks{
		src: iotest.OneByteReader(strings.NewReader(strings.Repeat("a", size))), left: size,
		signer: v4.NewStreamSigner(keys, "s3", "us-east-1", seed), at: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC),
	}
	got, err := io.ReadAll(iotest.HalfReader(c))
	if err != nil {
		t.Fatal(err)
	}
	want := "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	if string(got) != want {
		t.Errorf("the chunks are others: %d bytes, want %d\n%.120q", len(got), len(want), got)
	}
	if n := chunkedLength(size); n != 66824 || int(n) != len(want) {
		t.Errorf("their length was foretold as %d, the example says 66824", n)
	}
}

func TestTheLengthOfChunksIsKnownBeforehand(t *testing.T) {
	for _, size := range []int64{0, 1, 15, 16, chunkSize - 1, chunkSize, chunkSize + 1, 2 * chunkSize, 5*chunkSize + 4096} {
		c := &chunks{src: strings.NewReader(strings.Repeat("x", int(size))), left: size, signer: v4.NewStreamSigner(aws.Credentials{}, "s3", "r", nil)}
		n, err := io.Copy(io.Discard, c)
		if err != nil || n != chunkedLength(size) {
			t.Errorf("%d bytes: %d came, foretold were %d, %v", size, n, chunkedLength(size), err)
		}
	}
}
