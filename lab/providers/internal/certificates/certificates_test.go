package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

func mustCreate(t *testing.T, made resource, inputs property.Map) property.Map {
	t.Helper()
	_, outputs, err := made.Create(t.Context(), protocol.Call{Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	return property.PlainMap(outputs)
}

func newKeyPEM(t *testing.T, inputs property.Map) string {
	t.Helper()
	return textOf(mustCreate(t, privateKey(), inputs), "privateKeyPem")
}

var p256 = property.Map{"algorithm": "ECDSA", "ecdsaCurve": "P256"}

func newAuthority(t *testing.T, key string, more property.Map) property.Map {
	t.Helper()
	inputs := property.Map{
		"privateKeyPem": key, "isCaCertificate": true, "validityPeriodHours": 24.0,
		"allowedUses": []any{"cert_signing", "crl_signing"}, "subject": property.Map{"commonName": "authority"},
	}
	for name, value := range more {
		inputs[name] = value
	}
	return mustCreate(t, selfSigned(), inputs)
}

func newLeaf(t *testing.T, authority property.Map, request, leaf property.Map) *x509.Certificate {
	t.Helper()
	request["privateKeyPem"] = newKeyPEM(t, p256)
	leaf["certRequestPem"] = mustCreate(t, certificateRequest(), request)["certRequestPem"]
	leaf["caCertPem"], leaf["caPrivateKeyPem"] = authority["certPem"], authority["privateKeyPem"]
	return parsed(t, mustCreate(t, locallySigned(), leaf))
}

func parsed(t *testing.T, outputs property.Map) *x509.Certificate {
	t.Helper()
	certificate, err := parseCertificate(textOf(outputs, "certPem"))
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestEveryKeyComesInFormsThatCanBeReadAgain(t *testing.T) {
	for name, inputs := range map[string]property.Map{
		"RSA": {"algorithm": "RSA"}, "ED25519": {"algorithm": "ED25519"}, "P224": {"algorithm": "ECDSA"}, "P256": p256,
		"P384": {"algorithm": "ECDSA", "ecdsaCurve": "P384"}, "P521": {"algorithm": "ECDSA", "ecdsaCurve": "P521"},
	} {
		outputs := mustCreate(t, privateKey(), inputs)
		for _, form := range []string{"privateKeyPem", "privateKeyPemPkcs8"} {
			if _, algorithm, err := parsePrivateKey(textOf(outputs, form)); err != nil || algorithm != inputs["algorithm"] {
				t.Errorf("%s: %s: %q %v", name, form, algorithm, err)
			}
		}
		openSSH, public := textOf(outputs, "privateKeyOpenssh"), textOf(outputs, "publicKeyOpenssh")
		if name == "P224" {
			if openSSH != "" || public != "" {
				t.Error("P224 has no OpenSSH form, but one was given")
			}
			continue
		}
		signer, err := ssh.ParsePrivateKey([]byte(openSSH))
		if err != nil || string(ssh.MarshalAuthorizedKey(signer.PublicKey())) != public {
			t.Errorf("%s: the OpenSSH forms do not belong together: %v", name, err)
		}
		if ssh.FingerprintSHA256(signer.PublicKey()) != outputs["publicKeyFingerprintSha256"] {
			t.Errorf("%s: the fingerprint is of another key", name)
		}
	}
}

func TestDefaultsOfAKeyStandInItsOutputs(t *testing.T) {
	outputs := mustCreate(t, privateKey(), property.Map{"algorithm": "ED25519"})
	if outputs["ecdsaCurve"] != "P224" || outputs["rsaBits"] != 2048.0 {
		t.Errorf("curve %v, bits %v", outputs["ecdsaCurve"], outputs["rsaBits"])
	}
}

func TestPrivateKeysAreSecretInPreviewAndAfterwards(t *testing.T) {
	for _, preview := range []bool{true, false} {
		_, outputs, err := privateKey().Create(t.Context(), protocol.Call{Inputs: p256, Preview: preview})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"} {
			if _, secret := outputs[name].(property.Secret); !secret {
				t.Errorf("%s is open (preview %v)", name, preview)
			}
		}
	}
}

func TestALeafIsValidForItsNamesAndUses(t *testing.T) {
	authority := newAuthority(t, newKeyPEM(t, p256), nil)
	leaf := newLeaf(t, authority, property.Map{
		"dnsNames": []any{"api.example", "localhost"}, "ipAddresses": []any{"10.32.0.1", "::1"}, "uris": []any{"spiffe://a/b"},
		"subject": property.Map{"commonName": "kube-apiserver", "organization": "kubernetes", "emailAddress": "a@example"},
	}, property.Map{"validityPeriodHours": 2.0, "allowedUses": []any{"digital_signature", "server_auth", "client_auth"}})

	roots := x509.NewCertPool()
	roots.AddCert(parsed(t, authority))
	for _, name := range []string{"api.example", "10.32.0.1", "::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other.example"}); err == nil {
		t.Error("valid for a name that nobody asked for")
	}
	uses := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, uses) || leaf.IsCA || !leaf.BasicConstraintsValid {
		t.Errorf("usages %v %v, authority %v", leaf.KeyUsage, leaf.ExtKeyUsage, leaf.IsCA)
	}
	subject := leaf.Subject.String()
	if !strings.Contains(subject, "CN=kube-apiserver,O=kubernetes") || !strings.Contains(subject, "1.2.840.113549.1.9.1") {
		t.Errorf("subject %s", subject)
	}
	if got := leaf.NotAfter.Sub(leaf.NotBefore); got != 2*time.Hour || time.Since(leaf.NotBefore) < 0 {
		t.Errorf("valid for %s from %s", got, leaf.NotBefore)
	}
	if !bytes.Equal(leaf.AuthorityKeyId, parsed(t, authority).SubjectKeyId) || len(leaf.AuthorityKeyId) != 20 {
		t.Error("the authority key identifier does not point at the authority")
	}
}

func TestTheValidityInTheOutputsIsTheCertificatesOwn(t *testing.T) {
	outputs := newAuthority(t, newKeyPEM(t, p256), nil)
	certificate := parsed(t, outputs)
	if outputs["validityStartTime"] != certificate.NotBefore.Format(time.RFC3339) || outputs["validityEndTime"] != certificate.NotAfter.Format(time.RFC3339) {
		t.Errorf("%v to %v", outputs["validityStartTime"], outputs["validityEndTime"])
	}
	if outputs["id"] != certificate.SerialNumber.String() || certificate.SerialNumber.BitLen() < 64 {
		t.Errorf("serial number %s, id %v", certificate.SerialNumber, outputs["id"])
	}
}

func TestPathLengthIsWrittenForAuthoritiesOnly(t *testing.T) {
	key := newKeyPEM(t, p256)
	for _, length := range []float64{0, 1} {
		certificate := parsed(t, newAuthority(t, key, property.Map{"maxPathLength": length}))
		if certificate.MaxPathLen != int(length) || certificate.MaxPathLenZero != (length == 0) {
			t.Errorf("%v became %d", length, certificate.MaxPathLen)
		}
	}
	if certificate := parsed(t, newAuthority(t, key, nil)); certificate.MaxPathLen != -1 {
		t.Errorf("without a limit it is %d", certificate.MaxPathLen)
	}
	leaf := newLeaf(t, newAuthority(t, key, nil), property.Map{},
		property.Map{"validityPeriodHours": 1.0, "allowedUses": []any{}, "maxPathLength": 1.0})
	if leaf.MaxPathLen != -1 {
		t.Errorf("a leaf has path length %d", leaf.MaxPathLen)
	}
}

func TestAnIntermediateAuthoritySigns(t *testing.T) {
	root := newAuthority(t, newKeyPEM(t, property.Map{"algorithm": "RSA"}), nil)
	key := newKeyPEM(t, p256)
	request := mustCreate(t, certificateRequest(), property.Map{"privateKeyPem": key, "subject": property.Map{"commonName": "middle"}})
	middle := mustCreate(t, locallySigned(), property.Map{
		"certRequestPem": request["certRequestPem"], "caCertPem": root["certPem"], "caPrivateKeyPem": root["privateKeyPem"],
		"isCaCertificate": true, "validityPeriodHours": 1.0, "allowedUses": []any{"cert_signing"},
	})
	middle["privateKeyPem"] = key
	leaf := newLeaf(t, middle, property.Map{"dnsNames": []any{"a.example"}},
		property.Map{"validityPeriodHours": 1.0, "allowedUses": []any{"server_auth"}})
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(parsed(t, root))
	between.AddCert(parsed(t, middle))
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "a.example"}); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	key := newKeyPEM(t, p256)
	authority := newAuthority(t, key, nil)
	request := mustCreate(t, certificateRequest(), property.Map{"privateKeyPem": key})["certRequestPem"]
	base := property.Map{"privateKeyPem": key, "validityPeriodHours": 1.0, "allowedUses": []any{}}
	signing := property.Map{"certRequestPem": request, "caCertPem": authority["certPem"], "caPrivateKeyPem": key, "validityPeriodHours": 1.0, "allowedUses": []any{}}
	for _, mistake := range []struct {
		made   resource
		base   property.Map
		name   string
		value  any
		expect string
	}{
		{selfSigned(), base, "ipAddresses", []any{"10.0.0.256"}, `ipAddresses[0]: "10.0.0.256" is not an IP address`},
		{selfSigned(), base, "isCaCertificate", true, "a certificate authority needs at least one name"},
		{selfSigned(), base, "setAuthorityKeyId", true, "set setSubjectKeyId as well"},
		{selfSigned(), base, "privateKeyPem", "x", "privateKeyPem: the private key is not PEM"},
		{locallySigned(), signing, "caPrivateKeyPem", newKeyPEM(t, p256), "doesn't match parent's PublicKey"},
		{locallySigned(), signing, "certRequestPem", authority["certPem"], "certRequestPem: this is no certificate request"},
		{locallySigned(), signing, "caCertPem", textOf(authority, "certPem") + textOf(authority, "certPem"), "more than one certificate"},
	} {
		inputs := property.Map{}
		for name, value := range mistake.base {
			inputs[name] = value
		}
		inputs[mistake.name] = mistake.value
		_, _, err := mistake.made.Create(t.Context(), protocol.Call{Inputs: inputs})
		if err == nil || !strings.Contains(err.Error(), mistake.expect) {
			t.Errorf("%s: the error is %v", mistake.name, err)
		}
	}
}

func TestRefreshMarksACertificateThatIsDueAndUpdateKeepsIt(t *testing.T) {
	state := newAuthority(t, newKeyPEM(t, p256), property.Map{"earlyRenewalHours": 1.0})
	if refreshed := selfSigned().Read(protocol.Call{State: state}); refreshed["readyForRenewal"] != false {
		t.Error("due a day too early")
	}
	state["earlyRenewalHours"] = 25.0
	if refreshed := selfSigned().Read(protocol.Call{State: state}); refreshed["readyForRenewal"] != true {
		t.Error("not seen to be due")
	}
	inputs := property.Map{"privateKeyPem": state["privateKeyPem"], "earlyRenewalHours": 2.0}
	updated, err := selfSigned().Update(t.Context(), protocol.Call{Inputs: inputs, State: state})
	if err != nil || updated["certPem"] != state["certPem"] || updated["id"] != state["id"] || updated["earlyRenewalHours"] != 2.0 {
		t.Errorf("the update lost something: %v", err)
	}
}

func TestThePublicHalfOfAKeyIsFound(t *testing.T) {
	key := mustCreate(t, privateKey(), property.Map{"algorithm": "ED25519"})
	for _, form := range []string{"privateKeyPem", "privateKeyOpenssh"} {
		found, err := publicKeyFunction{}.Invoke(t.Context(), property.Map{form: key[form]})
		if err != nil || found["publicKeyOpenssh"] != key["publicKeyOpenssh"] || found["algorithm"] != "ED25519" {
			t.Errorf("%s: %v %v", form, found, err)
		}
	}
	if _, err := (publicKeyFunction{}).Invoke(t.Context(), property.Map{}); err == nil {
		t.Error("no key was given and none was asked for")
	}
}

func TestPEMIsOneBlock(t *testing.T) {
	block, rest := pem.Decode([]byte(newKeyPEM(t, p256)))
	if block == nil || block.Type != "EC PRIVATE KEY" || len(rest) != 0 {
		t.Errorf("%v with %d bytes behind it", block, len(rest))
	}
}
