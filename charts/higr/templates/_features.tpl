{{/* Arguments of `python -m feature_repo COMMAND`: (list $ COMMAND), as YAML. */}}
{{- define "higr.featureArgs" -}}
{{- $values := (index . 0).Values -}}
{{- $args := list "-m" "feature_repo" (index . 1) "--data" (list "/mnt/data" $values.features.data.path | compact | join "/") "--store" (printf "/mnt/features/%s" $values.features.path) "--config" $values.features.config -}}
{{- $redis := include "higr.redisUrl" (index . 0) -}}
{{- if and $redis (eq (index . 1) "materialise") -}}
{{- $args = concat $args (list "--online" $redis) -}}
{{- end -}}
{{- if $values.feedback.enabled -}}
{{- $args = concat $args (list "--feedback" "/var/log/higr-feedback") -}}
{{- end -}}
{{- toYaml (append $args "--json") -}}
{{- end -}}

{{/* Pod of a feature job: (list $ PART COMMAND PERIOD-SECONDS). */}}
{{- define "higr.featurePod" -}}
{{- $root := index . 0 -}}
{{- $values := $root.Values -}}
{{- $mounts := list (dict "name" "data" "claim" $values.features.data.claim "path" "/mnt/data" "readOnly" true) (dict "name" "features" "claim" $values.features.claim "path" "/mnt/features") -}}
{{- if $values.feedback.enabled -}}
{{- $mounts = append $mounts (dict "name" "feedback-log" "claim" $values.feedback.claim "path" "/var/log/higr-feedback" "readOnly" true) -}}
{{- end -}}
{{- $args := include "higr.featureArgs" (list $root (index . 2)) | fromYamlArray -}}
{{- $run := include "higr.watched" (list $root (index . 1) (index . 3) $args) | fromYamlArray -}}
{{- include "higr.toolsPod" (dict "root" $root "part" "features" "command" $run "mounts" $mounts "env" (include "higr.redisPassword" $root) "restart" "Never") -}}
{{- end -}}
