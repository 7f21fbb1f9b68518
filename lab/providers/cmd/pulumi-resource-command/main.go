// Command pulumi-resource-command is the lab's stand-in for the official `command` provider.
package main

import (
	"hardway/lab/providers/internal/command"
	"hardway/lab/providers/internal/protocol"
)

// version is the official version whose schema and rules this keeps; the linker may set another.
var version = "1.2.1"

func main() { protocol.Main(command.Provider(version)) }
