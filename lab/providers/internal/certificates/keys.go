package certificates

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// Algorithms and curves by their names in the official schema.
const (
	algorithmRSA     = "RSA"
	algorithmECDSA   = "ECDSA"
	algorithmED25519 = "ED25519"
	defaultCurve     = "P224"
	defaultBits      = 2048
)

var curves = map[string]elliptic.Curve{
	"P224": elliptic.P224(), "P256": elliptic.P256(), "P384": elliptic.P384(), "P521": elliptic.P521(),
}

func privateKey() resource {
	return resource{
		token: "tls:index/privateKey:PrivateKey",
		fields: []protocol.Field{
			{Name: "algorithm", Type: protocol.Text, Required: true, Replaces: true,
				OneOf: []string{algorithmRSA, algorithmECDSA, algorithmED25519}},
			{Name: "ecdsaCurve", Type: protocol.Text, Replaces: true, OneOf: []string{"P224", "P256", "P384", "P521"}},
			{Name: "rsaBits", Type: protocol.Integer, Replaces: true},
		},
		defaults: property.Map{"ecdsaCurve": defaultCurve, "rsaBits": float64(defaultBits)},
		computed: []string{
			"privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh", "publicKeyPem", "publicKeyOpenssh",
			"publicKeyFingerprintMd5", "publicKeyFingerprintSha256",
		},
		secret: []string{"privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"},
		create: createPrivateKey,
	}
}

func createPrivateKey(inputs property.Map) (string, property.Map, error) {
	key, err := generate(inputs)
	if err != nil {
		return "", nil, fmt.Errorf("no key could be generated: %w", err)
	}
	outputs, err := publicKeyOutputs(key.Public())
	if err != nil {
		return "", nil, err
	}
	id := textOf(outputs, "id")
	traditional, err := traditionalBlock(key)
	if err != nil {
		return "", nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", nil, err
	}
	outputs["privateKeyPem"] = string(pem.EncodeToMemory(traditional))
	outputs["privateKeyPemPkcs8"] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	outputs["privateKeyOpenssh"] = ""
	// OpenSSH has no keys on P-224: its forms stay empty.
	if block, err := ssh.MarshalPrivateKey(key, ""); err == nil && outputs["publicKeyOpenssh"] != "" {
		outputs["privateKeyOpenssh"] = string(pem.EncodeToMemory(block))
	}
	return id, outputs, nil
}

func generate(inputs property.Map) (crypto.Signer, error) {
	switch algorithm := textOf(inputs, "algorithm"); algorithm {
	case algorithmRSA:
		return rsa.GenerateKey(rand.Reader, int(numberOf(inputs, "rsaBits")))
	case algorithmECDSA:
		return ecdsa.GenerateKey(curves[textOf(inputs, "ecdsaCurve")], rand.Reader)
	case algorithmED25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		return nil, fmt.Errorf("%q is no algorithm for keys", algorithm)
	}
}

// traditionalBlock is the older form that names the algorithm; ED25519 has none and uses PKCS#8.
func traditionalBlock(key crypto.Signer) (*pem.Block, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}, nil
	case *ecdsa.PrivateKey:
		bytes, err := x509.MarshalECPrivateKey(key)
		return &pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes}, err
	default:
		bytes, err := x509.MarshalPKCS8PrivateKey(key)
		return &pem.Block{Type: "PRIVATE KEY", Bytes: bytes}, err
	}
}

// publicKeyOutputs are the forms of a public key and, as `id`, its digest.
func publicKeyOutputs(key crypto.PublicKey) (property.Map, error) {
	bytes, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	outputs := property.Map{
		"id":           digest(bytes),
		"publicKeyPem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: bytes})),
		// OpenSSH has no keys on P-224: its forms stay empty.
		"publicKeyOpenssh": "", "publicKeyFingerprintMd5": "", "publicKeyFingerprintSha256": "",
	}
	if key, err := ssh.NewPublicKey(key); err == nil {
		outputs["publicKeyOpenssh"] = string(ssh.MarshalAuthorizedKey(key))
		outputs["publicKeyFingerprintMd5"] = ssh.FingerprintLegacyMD5(key)
		outputs["publicKeyFingerprintSha256"] = ssh.FingerprintSHA256(key)
	}
	return outputs, nil
}

// digest names a thing by the SHA-1 of its bytes, as the official provider does; it protects nothing.
func digest(bytes []byte) string {
	sum := sha1.Sum(bytes)
	return hex.EncodeToString(sum[:])
}

// parsePrivateKey reads a key in PEM and names its algorithm.
func parsePrivateKey(text string) (crypto.Signer, string, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, "", errors.New("the private key is not PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("a PEM block of type %q is no private key that this provider reads", block.Type)
	}
	if err != nil {
		return nil, "", fmt.Errorf("the private key can't be read: %w", err)
	}
	return signer(key)
}

func signer(key any) (crypto.Signer, string, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, algorithmRSA, nil
	case *ecdsa.PrivateKey:
		return key, algorithmECDSA, nil
	case ed25519.PrivateKey:
		return key, algorithmED25519, nil
	case *ed25519.PrivateKey:
		return *key, algorithmED25519, nil
	default:
		return nil, "", fmt.Errorf("a private key of type %T can't sign", key)
	}
}
