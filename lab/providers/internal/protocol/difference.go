package protocol

import (
	"slices"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"hardway/lab/providers/internal/property"
)

// diff says what the engine has to do to get from the old inputs to the new: nothing, update or replace.
func diff(fields []Field, olds, news property.Map, ignored []string) *pulumirpc.DiffResponse {
	response := &pulumirpc.DiffResponse{
		Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true, DetailedDiff: map[string]*pulumirpc.PropertyDiff{},
	}
	for _, difference := range property.Differences(declared(fields, olds), declared(fields, news)) {
		if isIgnored(difference, ignored) {
			continue
		}
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
		if !slices.Contains(response.Diffs, difference.Root) {
			response.Diffs = append(response.Diffs, difference.Root)
		}
		replaces := slices.ContainsFunc(fields, func(field Field) bool {
			return field.Name == difference.Root && field.Replaces
		})
		if replaces {
			response.Replaces = append(response.Replaces, difference.Path)
		}
		response.DetailedDiff[difference.Path] = &pulumirpc.PropertyDiff{Kind: wireKind(difference.Kind, replaces), InputDiff: true}
	}
	return response
}

// declared keeps the inputs among the properties: where the state stands in for the old inputs it has outputs as well.
func declared(fields []Field, properties property.Map) property.Map {
	inputs := property.Map{}
	for _, field := range fields {
		if value, given := properties[field.Name]; given {
			inputs[field.Name] = value
		}
	}
	return inputs
}

func isIgnored(difference property.Difference, ignored []string) bool {
	return slices.ContainsFunc(ignored, func(path string) bool {
		below, found := strings.CutPrefix(difference.Path, path)
		return path == "*" || found && (below == "" || strings.HasPrefix(below, ".") || strings.HasPrefix(below, "["))
	})
}

func wireKind(kind property.Kind, replaces bool) pulumirpc.PropertyDiff_Kind {
	switch {
	case kind == property.Added && replaces:
		return pulumirpc.PropertyDiff_ADD_REPLACE
	case kind == property.Added:
		return pulumirpc.PropertyDiff_ADD
	case kind == property.Deleted && replaces:
		return pulumirpc.PropertyDiff_DELETE_REPLACE
	case kind == property.Deleted:
		return pulumirpc.PropertyDiff_DELETE
	case replaces:
		return pulumirpc.PropertyDiff_UPDATE_REPLACE
	default:
		return pulumirpc.PropertyDiff_UPDATE
	}
}
