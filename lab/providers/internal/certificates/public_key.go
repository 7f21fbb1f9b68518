package certificates

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// publicKeyFunction is `getPublicKey`: the public half of a private key.
type publicKeyFunction struct{}

func (publicKeyFunction) Token() string { return "tls:index/getPublicKey:getPublicKey" }

func (publicKeyFunction) Fields() []protocol.Field {
	return []protocol.Field{
		{Name: "privateKeyPem", Type: protocol.Text, Secret: true},
		{Name: "privateKeyOpenssh", Type: protocol.Text, Secret: true},
	}
}

func (publicKeyFunction) Invoke(_ context.Context, arguments property.Map) (property.Map, error) {
	key, algorithm, err := givenKey(property.PlainMap(arguments))
	if err != nil {
		return nil, err
	}
	outputs, err := publicKeyOutputs(key.Public())
	if err != nil {
		return nil, err
	}
	outputs["algorithm"] = algorithm
	for name, value := range arguments {
		outputs[name] = value
	}
	return outputs, nil
}

func givenKey(arguments property.Map) (crypto.Signer, string, error) {
	inPEM, inOpenSSH := textOf(arguments, "privateKeyPem"), textOf(arguments, "privateKeyOpenssh")
	switch {
	case (inPEM == "") == (inOpenSSH == ""):
		return nil, "", errors.New("exactly one of privateKeyPem and privateKeyOpenssh must be given")
	case inPEM != "":
		return parsePrivateKey(inPEM)
	}
	key, err := ssh.ParseRawPrivateKey([]byte(inOpenSSH))
	if err != nil {
		return nil, "", fmt.Errorf("the private key can't be read: %w", err)
	}
	return signer(key)
}
