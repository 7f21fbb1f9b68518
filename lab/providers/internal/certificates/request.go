package certificates

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

func certificateRequest() resource {
	return resource{
		token: "tls:index/certRequest:CertRequest",
		fields: append(subjectFields(),
			protocol.Field{Name: "privateKeyPem", Type: protocol.Text, Required: true, Secret: true, Replaces: true}),
		computed: []string{"certRequestPem", "keyAlgorithm"},
		secret:   []string{"privateKeyPem"},
		create:   createRequest,
	}
}

func createRequest(inputs property.Map) (string, property.Map, error) {
	key, algorithm, err := parsePrivateKey(textOf(inputs, "privateKeyPem"))
	if err != nil {
		return "", nil, fmt.Errorf("privateKeyPem: %w", err)
	}
	subject, err := readIdentity(inputs)
	if err != nil {
		return "", nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: subject.subject, DNSNames: subject.dnsNames, IPAddresses: subject.addresses, URIs: subject.uris,
	}, key)
	if err != nil {
		return "", nil, fmt.Errorf("the certificate request could not be made: %w", err)
	}
	return digest(request), property.Map{
		"certRequestPem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})),
		"keyAlgorithm":   algorithm,
	}, nil
}

// parseRequest reads a request in PEM and checks that whoever made it holds its key.
func parseRequest(text string) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("this is no certificate request in PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the certificate request can't be read: %w", err)
	}
	return request, request.CheckSignature()
}
