package certificates

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"net/url"

	"hardway/lab/providers/internal/property"
	"hardway/lab/providers/internal/protocol"
)

// subjectFields are the inputs that say for whom a certificate is.
func subjectFields() []protocol.Field {
	return []protocol.Field{
		{Name: "dnsNames", Type: protocol.Texts, Replaces: true},
		{Name: "ipAddresses", Type: protocol.Texts, Replaces: true},
		{Name: "uris", Type: protocol.Texts, Replaces: true},
		{Name: "subject", Type: protocol.Object, Replaces: true, Fields: []protocol.Field{
			{Name: "commonName", Type: protocol.Text},
			{Name: "organization", Type: protocol.Text},
			{Name: "organizationalUnit", Type: protocol.Text},
			{Name: "streetAddresses", Type: protocol.Texts},
			{Name: "locality", Type: protocol.Text},
			{Name: "province", Type: protocol.Text},
			{Name: "country", Type: protocol.Text},
			{Name: "postalCode", Type: protocol.Text},
			{Name: "serialNumber", Type: protocol.Text},
			{Name: "emailAddress", Type: protocol.Text},
		}},
	}
}

// identity is whom a certificate or a request is for.
type identity struct {
	subject   pkix.Name
	dnsNames  []string
	addresses []net.IP
	uris      []*url.URL
}

func readIdentity(inputs property.Map) (identity, error) {
	subject, _ := inputs["subject"].(property.Map)
	read := identity{subject: distinguishedName(subject), dnsNames: textsOf(inputs, "dnsNames")}
	for index, text := range textsOf(inputs, "ipAddresses") {
		address := net.ParseIP(text)
		if address == nil {
			return identity{}, fmt.Errorf("ipAddresses[%d]: %q is not an IP address", index, text)
		}
		read.addresses = append(read.addresses, address)
	}
	for index, text := range textsOf(inputs, "uris") {
		uri, err := url.Parse(text)
		if err != nil {
			return identity{}, fmt.Errorf("uris[%d]: %q is not a URI: %w", index, text, err)
		}
		read.uris = append(read.uris, uri)
	}
	return read, nil
}

// emailAddressIdentifier is PKCS#9's emailAddress, which pkix.Name has no field for.
var emailAddressIdentifier = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}

func distinguishedName(subject property.Map) pkix.Name {
	name := pkix.Name{
		CommonName:         textOf(subject, "commonName"),
		SerialNumber:       textOf(subject, "serialNumber"),
		Organization:       single(subject, "organization"),
		OrganizationalUnit: single(subject, "organizationalUnit"),
		StreetAddress:      textsOf(subject, "streetAddresses"),
		Locality:           single(subject, "locality"),
		Province:           single(subject, "province"),
		Country:            single(subject, "country"),
		PostalCode:         single(subject, "postalCode"),
	}
	if address := textOf(subject, "emailAddress"); address != "" {
		name.ExtraNames = []pkix.AttributeTypeAndValue{{
			Type: emailAddressIdentifier, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(address)},
		}}
	}
	return name
}

func single(subject property.Map, name string) []string {
	if text := textOf(subject, name); text != "" {
		return []string{text}
	}
	return nil
}
