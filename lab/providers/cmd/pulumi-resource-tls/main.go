// Command pulumi-resource-tls is the lab's stand-in for the official `tls` provider.
package main

import (
	"hardway/lab/providers/internal/certificates"
	"hardway/lab/providers/internal/protocol"
)

// version is the official version whose schema and rules this keeps; the linker may set another.
var version = "5.3.1"

func main() { protocol.Main(certificates.Provider(version)) }
