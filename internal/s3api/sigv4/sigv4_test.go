package sigv4_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/sigv4"
)

// The examples of the Amazon S3 API reference, with its credentials.
const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	emptyHash     = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

var exampleTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

// request reads a request as a server does.
func request(t testing.TB, lines ...string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(lines, "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func authorization(signed, signature string) string {
	return "Authorization: AWS4-HMAC-SHA256 Credential=" + exampleKey + "/20130524/us-east-1/s3/aws4_request,SignedHeaders=" + signed + ",Signature=" + signature
}

var examples = map[string][]string{
	"get object": {
		"GET /test.txt HTTP/1.1", "Host: examplebucket.s3.amazonaws.com",
		authorization("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
		"Range: bytes=0-9", "x-amz-content-sha256:" + emptyHash, "x-amz-date: 20130524T000000Z",
	},
	"put object": {
		"PUT /test$file.text HTTP/1.1", "Host: examplebucket.s3.amazonaws.com", "Date: Fri, 24 May 2013 00:00:00 GMT",
		authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
		"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
		"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	},
	"get bucket lifecycle": {
		"GET /?lifecycle HTTP/1.1", "Host: examplebucket.s3.amazonaws.com",
		authorization("host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
		"x-amz-date: 20130524T000000Z", "x-amz-content-sha256:" + emptyHash,
	},
	"list objects": {
		"GET /?max-keys=2&prefix=J HTTP/1.1", "Host: examplebucket.s3.amazonaws.com",
		authorization("host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
		"x-amz-date: 20130524T000000Z", "x-amz-content-sha256:" + emptyHash,
	},
	"presigned": {
		"GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1",
		"Host: examplebucket.s3.amazonaws.com",
	},
	"chunked seed": chunkedExample,
}

var chunkedExample = []string{
	"PUT /examplebucket/chunkObject.txt HTTP/1.1", "Host: s3.amazonaws.com", "x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
	authorization("content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class", "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
	"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "Content-Encoding: aws-chunked", "x-amz-decoded-content-length: 66560", "Content-Length: 66824",
}

func TestPublishedExamplesVerify(t *testing.T) {
	for name, lines := range examples {
		t.Run(name, func(t *testing.T) {
			r := request(t, lines...)
			sig, err := sigv4.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if sig.AccessKey != exampleKey || sig.Region != "us-east-1" || !sig.Time.Equal(exampleTime) {
				t.Fatalf("got %+v", sig)
			}
			if err := sig.Verify(r, exampleSecret, exampleTime); err != nil {
				t.Fatal(err)
			}
			if err := sig.Verify(r, exampleSecret+"x", exampleTime); !s3err.Is(err, s3err.SignatureDoesNotMatch) {
				t.Fatalf("another secret: %v", err)
			}
			r.URL.Path += "x"
			if err := sig.Verify(r, exampleSecret, exampleTime); !s3err.Is(err, s3err.SignatureDoesNotMatch) {
				t.Fatalf("another path: %v", err)
			}
		})
	}
}

func TestPublishedChunkSignaturesVerifyInTheirOrder(t *testing.T) {
	sig, err := sigv4.Parse(request(t, chunkedExample...))
	if err != nil {
		t.Fatal(err)
	}
	chunks := []struct {
		data      string
		signature string
	}{
		{strings.Repeat("a", 65536), "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"},
		{strings.Repeat("a", 1024), "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"},
		{"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"},
	}
	chain := sig.Chain(exampleSecret)
	for i, c := range chunks {
		sum := sha256.Sum256([]byte(c.data))
		if !chain.Chunk(sum[:], c.signature) {
			t.Fatalf("chunk %d does not verify", i)
		}
	}
	chain = sig.Chain(exampleSecret)
	sum := sha256.Sum256([]byte(chunks[1].data))
	if chain.Chunk(sum[:], chunks[1].signature) {
		t.Fatal("the second chunk verifies as the first")
	}
}

func TestTimeBoundsAreKept(t *testing.T) {
	tests := []struct {
		example string
		at      time.Duration
		want    s3err.Code
	}{
		{"get object", -sigv4.MaxSkew, s3err.Code{}},
		{"get object", sigv4.MaxSkew, s3err.Code{}},
		{"get object", -sigv4.MaxSkew - time.Second, s3err.RequestTimeTooSkewed},
		{"get object", sigv4.MaxSkew + time.Second, s3err.RequestTimeTooSkewed},
		{"presigned", 24 * time.Hour, s3err.Code{}},
		{"presigned", 24*time.Hour + time.Second, s3err.AccessDenied},
		{"presigned", -sigv4.MaxSkew - time.Second, s3err.RequestTimeTooSkewed},
	}
	for _, test := range tests {
		r := request(t, examples[test.example]...)
		sig, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		err = sig.Verify(r, exampleSecret, exampleTime.Add(test.at))
		if ok := test.want.Name == ""; ok && err != nil || !ok && !s3err.Is(err, test.want) {
			t.Errorf("%s, %v later: got %v, want %q", test.example, test.at, err, test.want.Name)
		}
	}
}

func TestWhatIsNotSignedIsRefused(t *testing.T) {
	lines := append([]string{}, examples["get object"]...)
	r := request(t, append(lines, "x-amz-acl: public-read")...)
	sig, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := sig.Verify(r, exampleSecret, exampleTime); !s3err.Is(err, s3err.AccessDenied) || !strings.Contains(err.Error(), "not signed") {
		t.Fatalf("got %v", err)
	}
}

func TestMalformedCredentialsAreNamedSo(t *testing.T) {
	get := examples["get object"]
	replace := func(old, with string) []string {
		out := make([]string, len(get))
		for i, l := range get {
			out[i] = strings.Replace(l, old, with, 1)
		}
		return out
	}
	presigned := func(old, with string) []string {
		return []string{strings.Replace(examples["presigned"][0], old, with, 1), examples["presigned"][1]}
	}
	tests := map[string]struct {
		lines []string
		want  s3err.Code
	}{
		"version 2":           {replace("AWS4-HMAC-SHA256 Credential=", "AWS "), s3err.UnsupportedAuthorization},
		"another service":     {replace("/s3/", "/ec2/"), s3err.MalformedAuth},
		"another terminator":  {replace("aws4_request", "aws4"), s3err.MalformedAuth},
		"another day":         {replace("/20130524/", "/20130525/"), s3err.MalformedAuth},
		"no access key":       {replace(exampleKey, ""), s3err.MalformedAuth},
		"short signature":     {replace("f0e8bdb8", "f0"), s3err.MalformedAuth},
		"upper signature":     {replace("f0e8bdb8", "F0E8BDB8"), s3err.MalformedAuth},
		"unsorted headers":    {replace("host;range", "range;host"), s3err.MalformedAuth},
		"field twice":         {replace(",Signature=", ",Signature=1,Signature="), s3err.MalformedAuth},
		"no payload hash":     {replace("x-amz-content-sha256:"+emptyHash, "x-y: z"), s3err.InvalidRequest},
		"bad payload hash":    {replace("x-amz-content-sha256:"+emptyHash, "x-amz-content-sha256: abc"), s3err.InvalidArgument},
		"no date":             {replace("x-amz-date: 20130524T000000Z", "x-y: z"), s3err.AccessDenied},
		"both ways":           {append(presigned("x", "x"), get[2]), s3err.InvalidArgument},
		"session token":       {append(replace("x", "x"), "x-amz-security-token: t"), s3err.InvalidToken},
		"too long a life":     {presigned("86400", "604801"), s3err.MalformedQueryAuth},
		"life is no number":   {presigned("86400", "1d"), s3err.MalformedQueryAuth},
		"negative life":       {presigned("86400", "-1"), s3err.MalformedQueryAuth},
		"no signature":        {presigned("X-Amz-Signature", "Y"), s3err.MalformedQueryAuth},
		"parameter twice":     {presigned("X-Amz-Date", "X-Amz-Date=20130524T000000Z&X-Amz-Date"), s3err.MalformedQueryAuth},
		"other algorithm":     {presigned("AWS4-HMAC", "AWS5-HMAC"), s3err.MalformedQueryAuth},
		"bad escape in query": {presigned("X-Amz-Date", "%zz=1&X-Amz-Date"), s3err.InvalidURI},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := sigv4.Parse(request(t, test.lines...)); !s3err.Is(err, test.want) {
				t.Fatalf("got %v, want %s", err, test.want.Name)
			}
		})
	}
}

func TestNoCredentialsAreNobodys(t *testing.T) {
	sig, err := sigv4.Parse(request(t, "GET /a?X-Amz-Meta=1 HTTP/1.1", "Host: example.com"))
	if sig != nil || err != nil {
		t.Fatalf("got %v, %v", sig, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, lines := range examples {
		var auth, hash, date string
		for _, l := range lines {
			auth = strings.TrimPrefix(l, "Authorization: ") + auth[:0]
			if strings.HasPrefix(l, "Authorization: ") {
				break
			}
		}
		_, query, _ := strings.Cut(strings.Fields(lines[0])[1], "?")
		f.Add(auth, query, hash, date)
	}
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature="+hex.EncodeToString(make([]byte, 32)), "a=b;c&d", "UNSIGNED-PAYLOAD", "20130524T000000Z")
	f.Fuzz(func(t *testing.T, auth, query, hash, date string) {
		r := request(t, "GET /k HTTP/1.1", "Host: example.com")
		r.URL.RawQuery = query
		r.Header = http.Header{"X-Amz-Content-Sha256": {hash}, "X-Amz-Date": {date}}
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		sig, err := sigv4.Parse(r)
		if err != nil || sig == nil {
			return
		}
		if sig.AccessKey == "" || sig.Presigned && sig.Expires > sigv4.MaxExpiry {
			t.Fatalf("accepted %+v", sig)
		}
		if err := sig.Verify(r, "secret", sig.Time); err == nil {
			t.Fatalf("a signature that nobody made verifies: %q %q", auth, query)
		}
	})
}
