{{/*
Live truth beats what the values said when it was installed: a bundle that the rollout promoted, and the weights it
set, stay through an upgrade. What the values say counts where they have changed since the last upgrade, where
`bundle.pin` says so, on a fresh install, and wherever no cluster is asked (`helm template`).
*/}}
{{- define "higr.live" -}}
{{- $map := lookup "v1" "ConfigMap" .Release.Namespace (printf "%s-bundle" (include "higr.fullname" .)) -}}
{{- toYaml (default (dict) (default (dict) $map).data) -}}
{{- end -}}

{{- define "higr.stableUri" -}}
{{- $live := include "higr.live" . | fromYaml -}}
{{- if and $live.stable (not .Values.bundle.pin) (eq (default "" $live.values) .Values.bundle.storageUri) -}}
{{- $live.stable -}}
{{- else -}}
{{- .Values.bundle.storageUri -}}
{{- end -}}
{{- end -}}

{{- define "higr.canaryUri" -}}
{{- $live := include "higr.live" . | fromYaml -}}
{{- if and $live.canary (not .Values.bundle.pin) (eq (default "" $live.canaryValues) .Values.canary.storageUri) -}}
{{- $live.canary -}}
{{- else -}}
{{- .Values.canary.storageUri -}}
{{- end -}}
{{- end -}}

{{/*
(list $ NAME URI): what InferenceService NAME served before `bundle.pin` put URI back; empty: nothing else. Helm 3 compares
the manifest with the one of the last revision and not with what is live, which a promotion has changed: this makes both
containers differ, so that both are put back. It stays as it is until the next time, for it replaces the pods.
*/}}
{{- define "higr.putBack" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.bundle.pin -}}
{{- $live := default (dict) (lookup "serving.kserve.io/v1beta1" "InferenceService" $root.Release.Namespace (index . 1)) -}}
{{- $env := dict -}}
{{- range (default (dict) (default (dict) $live.spec).predictor).containers -}}
{{- range .env -}}
{{- $_ := set $env .name .value -}}
{{- end -}}
{{- end -}}
{{- if and $env.STORAGE_URI (ne $env.STORAGE_URI (index . 2)) -}}
{{- printf "%s until revision %d" $env.STORAGE_URI $root.Release.Revision -}}
{{- else -}}
{{- default "" $env.HIGR_BUNDLE_BEFORE -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Percent of requests that the canary takes. */}}
{{- define "higr.canaryWeight" -}}
{{- $weight := 0 -}}
{{- if ne (toString .Values.canary.weight) "" -}}
{{- $weight = int .Values.canary.weight -}}
{{- else -}}
{{- $route := default (dict) (lookup "gateway.networking.k8s.io/v1" "HTTPRoute" .Release.Namespace (include "higr.fullname" .)) -}}
{{- $canary := printf "%s-canary-transformer" (include "higr.fullname" .) -}}
{{- range (default (dict) $route.spec).rules -}}
{{- range .backendRefs -}}
{{- if eq .name $canary -}}
{{- $weight = int .weight -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $weight -}}
{{- end -}}
