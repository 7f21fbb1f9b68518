package certificates

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

var keyUsages = map[string]x509.KeyUsage{
	"digital_signature":  x509.KeyUsageDigitalSignature,
	"content_commitment": x509.KeyUsageContentCommitment,
	"key_encipherment":   x509.KeyUsageKeyEncipherment,
	"data_encipherment":  x509.KeyUsageDataEncipherment,
	"key_agreement":      x509.KeyUsageKeyAgreement,
	"cert_signing":       x509.KeyUsageCertSign,
	"crl_signing":        x509.KeyUsageCRLSign,
	"encipher_only":      x509.KeyUsageEncipherOnly,
	"decipher_only":      x509.KeyUsageDecipherOnly,
}

var extendedKeyUsages = map[string]x509.ExtKeyUsage{
	"any_extended":                      x509.ExtKeyUsageAny,
	"server_auth":                       x509.ExtKeyUsageServerAuth,
	"client_auth":                       x509.ExtKeyUsageClientAuth,
	"code_signing":                      x509.ExtKeyUsageCodeSigning,
	"email_protection":                  x509.ExtKeyUsageEmailProtection,
	"ipsec_end_system":                  x509.ExtKeyUsageIPSECEndSystem,
	"ipsec_tunnel":                      x509.ExtKeyUsageIPSECTunnel,
	"ipsec_user":                        x509.ExtKeyUsageIPSECUser,
	"timestamping":                      x509.ExtKeyUsageTimeStamping,
	"ocsp_signing":                      x509.ExtKeyUsageOCSPSigning,
	"microsoft_server_gated_crypto":     x509.ExtKeyUsageMicrosoftServerGatedCrypto,
	"netscape_server_gated_crypto":      x509.ExtKeyUsageNetscapeServerGatedCrypto,
	"microsoft_commercial_code_signing": x509.ExtKeyUsageMicrosoftCommercialCodeSigning,
	"microsoft_kernel_code_signing":     x509.ExtKeyUsageMicrosoftKernelCodeSigning,
}

// certificateFields are the inputs that every certificate has.
func certificateFields() []protocol.Field {
	zero := 0.0
	uses := slices.Concat(slices.Sorted(maps.Keys(keyUsages)), slices.Sorted(maps.Keys(extendedKeyUsages)))
	return []protocol.Field{
		{Name: "allowedUses", Type: protocol.Texts, Required: true, Replaces: true, OneOf: uses},
		{Name: "validityPeriodHours", Type: protocol.Integer, Required: true, Replaces: true, Minimum: &zero},
		{Name: "earlyRenewalHours", Type: protocol.Integer, Minimum: &zero},
		{Name: "isCaCertificate", Type: protocol.Boolean, Replaces: true},
		{Name: "maxPathLength", Type: protocol.Integer, Replaces: true},
		{Name: "setSubjectKeyId", Type: protocol.Boolean, Replaces: true},
	}
}

func certificateDefaults() property.Map {
	return property.Map{
		"earlyRenewalHours": 0.0, "isCaCertificate": false, "maxPathLength": -1.0, "setSubjectKeyId": false,
		"readyForRenewal": false,
	}
}

var certificateOutputs = []string{"certPem", "validityStartTime", "validityEndTime"}

func selfSigned() resource {
	defaults := certificateDefaults()
	defaults["setAuthorityKeyId"] = false
	return resource{
		token: "tls:index/selfSignedCert:SelfSignedCert",
		fields: slices.Concat(certificateFields(), subjectFields(), []protocol.Field{
			{Name: "privateKeyPem", Type: protocol.Text, Required: true, Secret: true, Replaces: true},
			{Name: "setAuthorityKeyId", Type: protocol.Boolean, Replaces: true},
		}),
		defaults: defaults,
		computed: append([]string{"keyAlgorithm"}, certificateOutputs...),
		secret:   []string{"privateKeyPem"},
		create:   createSelfSigned,
	}
}

func createSelfSigned(inputs property.Map) (string, property.Map, error) {
	key, algorithm, err := parsePrivateKey(textOf(inputs, "privateKeyPem"))
	if err != nil {
		return "", nil, fmt.Errorf("privateKeyPem: %w", err)
	}
	subject, err := readIdentity(inputs)
	if err != nil {
		return "", nil, err
	}
	template := &x509.Certificate{
		Subject: subject.subject, DNSNames: subject.dnsNames, IPAddresses: subject.addresses, URIs: subject.uris,
	}
	if err := fillTemplate(template, inputs, key.Public(), isEmpty(subject.subject)); err != nil {
		return "", nil, err
	}
	if flagOf(inputs, "setAuthorityKeyId") {
		if len(template.SubjectKeyId) == 0 {
			return "", nil, errors.New("setAuthorityKeyId: the certificate has no subject key identifier to point at; " +
				"set setSubjectKeyId as well")
		}
		template.AuthorityKeyId = template.SubjectKeyId
	}
	id, outputs, err := issue(template, template, key.Public(), key)
	if err == nil {
		outputs["keyAlgorithm"] = algorithm
	}
	return id, outputs, err
}

func locallySigned() resource {
	return resource{
		token: "tls:index/locallySignedCert:LocallySignedCert",
		fields: slices.Concat(certificateFields(), []protocol.Field{
			{Name: "certRequestPem", Type: protocol.Text, Required: true, Replaces: true},
			{Name: "caCertPem", Type: protocol.Text, Required: true, Replaces: true},
			{Name: "caPrivateKeyPem", Type: protocol.Text, Required: true, Secret: true, Replaces: true},
		}),
		defaults: certificateDefaults(),
		computed: append([]string{"caKeyAlgorithm"}, certificateOutputs...),
		secret:   []string{"caPrivateKeyPem"},
		create:   createLocallySigned,
	}
}

func createLocallySigned(inputs property.Map) (string, property.Map, error) {
	request, err := parseRequest(textOf(inputs, "certRequestPem"))
	if err != nil {
		return "", nil, fmt.Errorf("certRequestPem: %w", err)
	}
	key, algorithm, err := parsePrivateKey(textOf(inputs, "caPrivateKeyPem"))
	if err != nil {
		return "", nil, fmt.Errorf("caPrivateKeyPem: %w", err)
	}
	authority, err := parseCertificate(textOf(inputs, "caCertPem"))
	if err != nil {
		return "", nil, fmt.Errorf("caCertPem: %w", err)
	}
	template := &x509.Certificate{
		// The request's own bytes: names that pkix.Name has no field for would be lost.
		RawSubject: request.RawSubject, Subject: request.Subject,
		DNSNames: request.DNSNames, IPAddresses: request.IPAddresses, URIs: request.URIs,
	}
	if err := fillTemplate(template, inputs, request.PublicKey, len(request.Subject.Names) == 0); err != nil {
		return "", nil, err
	}
	id, outputs, err := issue(template, authority, request.PublicKey, key)
	if err == nil {
		outputs["caKeyAlgorithm"] = algorithm
	}
	return id, outputs, err
}

// fillTemplate sets what the inputs of both kinds of certificate say.
func fillTemplate(template *x509.Certificate, inputs property.Map, key crypto.PublicKey, nameless bool) error {
	// Certificates carry whole seconds; the outputs must say the same.
	template.NotBefore = time.Now().UTC().Truncate(time.Second)
	template.NotAfter = template.NotBefore.Add(time.Duration(numberOf(inputs, "validityPeriodHours")) * time.Hour)
	template.BasicConstraintsValid = true
	for _, use := range textsOf(inputs, "allowedUses") {
		template.KeyUsage |= keyUsages[use]
		if extended, known := extendedKeyUsages[use]; known {
			template.ExtKeyUsage = append(template.ExtKeyUsage, extended)
		}
	}
	template.IsCA = flagOf(inputs, "isCaCertificate")
	if template.IsCA && nameless {
		return errors.New("subject: a certificate authority needs at least one name, such as commonName (RFC 5280, 4.1.2.6)")
	}
	if length := numberOf(inputs, "maxPathLength"); template.IsCA && length >= 0 {
		template.MaxPathLen, template.MaxPathLenZero = int(length), length == 0
	}
	if template.IsCA || flagOf(inputs, "setSubjectKeyId") {
		identifier, err := keyIdentifier(key)
		if err != nil {
			return err
		}
		template.SubjectKeyId = identifier
	}
	var err error
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	return err
}

// keyIdentifier is the first method of RFC 5280, 4.2.1.2: the SHA-1 of the key's bits.
func keyIdentifier(key crypto.PublicKey) ([]byte, error) {
	bytes, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(bytes, &info); err != nil {
		return nil, err
	}
	sum := sha1.Sum(info.Key.Bytes)
	return sum[:], nil
}

func issue(
	template, authority *x509.Certificate, subject crypto.PublicKey, key crypto.Signer,
) (string, property.Map, error) {
	certificate, err := x509.CreateCertificate(rand.Reader, template, authority, subject, key)
	if err != nil {
		return "", nil, fmt.Errorf("the certificate could not be issued: %w", err)
	}
	return template.SerialNumber.String(), property.Map{
		"certPem":           string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})),
		"validityStartTime": template.NotBefore.Format(time.RFC3339),
		"validityEndTime":   template.NotAfter.Format(time.RFC3339),
	}, nil
}

func isEmpty(name pkix.Name) bool { return len(name.ToRDNSequence()) == 0 }

func parseCertificate(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("this is no certificate in PEM")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("there is more than one certificate; give the signing one alone")
	}
	return x509.ParseCertificate(block.Bytes)
}

// withRenewal marks a certificate that is due. It does not renew anything: neither does the official provider, unless
// its state is refreshed first.
func withRenewal(state property.Map) property.Map {
	outputs := maps.Clone(state)
	end, err := time.Parse(time.RFC3339, textOf(property.PlainMap(state), "validityEndTime"))
	if err != nil {
		return outputs // a key or a request
	}
	early := time.Duration(numberOf(property.PlainMap(state), "earlyRenewalHours")) * time.Hour
	outputs["readyForRenewal"] = !time.Now().Before(end.Add(-early))
	return outputs
}
