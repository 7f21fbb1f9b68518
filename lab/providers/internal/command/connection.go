package command

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// Defaults of the official schema.
const (
	defaultPort           = 22
	defaultUser           = "root"
	defaultDialErrorLimit = 10
	defaultPerDialSeconds = 15
)

// connectionFields is the object `connection`; a proxy is the same without a proxy of its own.
func connectionFields() []protocol.Field {
	fields := endpointFields()
	return append(fields, protocol.Field{Name: "proxy", Type: protocol.Object, Fields: endpointFields()})
}

func endpointFields() []protocol.Field {
	return []protocol.Field{
		{Name: "host", Type: protocol.Text, Required: true},
		{Name: "port", Type: protocol.Number, Default: float64(defaultPort)},
		{Name: "user", Type: protocol.Text, Default: defaultUser},
		{Name: "password", Type: protocol.Text},
		{Name: "privateKey", Type: protocol.Text},
		{Name: "privateKeyPassword", Type: protocol.Text},
		{Name: "agentSocketPath", Type: protocol.Text},
		{Name: "hostKey", Type: protocol.Text},
		{Name: "dialErrorLimit", Type: protocol.Integer, Default: float64(defaultDialErrorLimit)},
		{Name: "perDialTimeout", Type: protocol.Integer, Default: float64(defaultPerDialSeconds)},
	}
}

// endpoint is one host to reach over SSH.
type endpoint struct {
	address        string
	user           string
	dialErrorLimit int           // -1: no limit
	perDialTimeout time.Duration // 0: no limit
	properties     property.Map
}

func newEndpoint(properties property.Map) endpoint {
	port := numberOr(properties, "port", defaultPort)
	return endpoint{
		address:        net.JoinHostPort(textOr(properties, "host", ""), strconv.Itoa(int(port))),
		user:           textOr(properties, "user", defaultUser),
		dialErrorLimit: int(numberOr(properties, "dialErrorLimit", defaultDialErrorLimit)),
		perDialTimeout: time.Duration(numberOr(properties, "perDialTimeout", defaultPerDialSeconds) * float64(time.Second)),
		properties:     properties,
	}
}

func (endpoint endpoint) String() string { return endpoint.user + "@" + endpoint.address }

func numberOr(properties property.Map, name string, otherwise float64) float64 {
	if value, ok := properties[name].(float64); ok {
		return value
	}
	return otherwise
}

// clientConfig gathers the credentials and the host key. The function that comes with it gives back what was opened.
func (endpoint endpoint) clientConfig() (*ssh.ClientConfig, func(), error) {
	config := &ssh.ClientConfig{User: endpoint.user, Timeout: endpoint.perDialTimeout}
	if err := endpoint.expectHostKey(config); err != nil {
		return nil, nil, err
	}
	if err := endpoint.addPrivateKey(config); err != nil {
		return nil, nil, err
	}
	endpoint.addPassword(config)
	release, err := endpoint.addAgent(config)
	return config, release, err
}

// expectHostKey pins the host key, and asks the server for a key of that kind: a server with several keys would else
// show another one and be refused. Without a pinned key the server is not verified, as with the official provider.
func (endpoint endpoint) expectHostKey(config *ssh.ClientConfig) error {
	text := textOr(endpoint.properties, "hostKey", "")
	if text == "" {
		config.HostKeyCallback = ssh.InsecureIgnoreHostKey()
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return fmt.Errorf("the host key of %s is not a public key such as `ssh-ed25519 AAAA...`: %w", endpoint, err)
	}
	config.HostKeyCallback = ssh.FixedHostKey(key)
	config.HostKeyAlgorithms = []string{key.Type()}
	if key.Type() == ssh.KeyAlgoRSA {
		config.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return nil
}

func (endpoint endpoint) addPrivateKey(config *ssh.ClientConfig) error {
	key := textOr(endpoint.properties, "privateKey", "")
	if key == "" {
		return nil
	}
	var signer ssh.Signer
	var err error
	if password := textOr(endpoint.properties, "privateKeyPassword", ""); password != "" {
		signer, err = ssh.ParsePrivateKeyWithPassphrase([]byte(key), []byte(password))
	} else {
		signer, err = ssh.ParsePrivateKey([]byte(key))
	}
	if err != nil {
		return fmt.Errorf("the private key for %s can't be used: %w", endpoint, err)
	}
	config.Auth = append(config.Auth, ssh.PublicKeys(signer))
	return nil
}

func (endpoint endpoint) addPassword(config *ssh.ClientConfig) {
	password := text(endpoint.properties, "password")
	if password == nil {
		return
	}
	answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for index := range answers {
			answers[index] = *password
		}
		return answers, nil
	}
	config.Auth = append(config.Auth, ssh.Password(*password), ssh.KeyboardInteractive(answer))
}

// addAgent uses the agent that is named, or the one of SSH_AUTH_SOCK. A stale SSH_AUTH_SOCK is passed over where there is
// another credential: nobody asked for it.
func (endpoint endpoint) addAgent(config *ssh.ClientConfig) (func(), error) {
	nothing := func() {}
	path, named := os.Getenv("SSH_AUTH_SOCK"), false
	if given := text(endpoint.properties, "agentSocketPath"); given != nil {
		path, named = *given, true
	}
	if path == "" {
		return nothing, nil
	}
	socket, err := net.Dial("unix", path)
	if err != nil {
		if !named && len(config.Auth) > 0 {
			return nothing, nil
		}
		return nil, fmt.Errorf("the SSH agent for %s does not answer: %w", endpoint, err)
	}
	config.Auth = append(config.Auth, ssh.PublicKeysCallback(agent.NewClient(socket).Signers))
	return func() { _ = socket.Close() }, nil
}
