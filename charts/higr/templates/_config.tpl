{{/*
The file of --config of one part: (dict "root" $ "part" PART). A part is told only what it uses; files of secrets are
where the volumes put them. `push` belongs to the one process that takes feedback.
*/}}
{{- define "higr.config" -}}
{{- $values := .root.Values -}}
{{- $config := dict "bundle_roots" (list "/mnt/models" "/mnt/pvc") -}}
{{- $known := ternary (list "batch" "limits") (list "crowd" "explore" "features" "limits" "debug" "logs") (eq (include "higr.role" .part) "predictor") -}}
{{- if eq .part "feedback" -}}
{{- $known = list "features" "limits" "logs" -}}
{{- end -}}
{{- range $section, $given := deepCopy $values.serving -}}
{{- if has $section $known -}}
{{- $_ := set $config $section $given -}}
{{- end -}}
{{- end -}}
{{- if eq .part "feedback" -}}
{{- $features := omit (default (dict) $config.features) "item_status_seconds" -}}
{{- $_ := set $config "features" (merge (dict "push" $values.feedback.push) $features) -}}
{{- end -}}
{{- $auth := dict -}}
{{- if include "higr.clientTokens" . -}}
{{- $_ := set $auth "tokens_file" "/etc/higr/clients/tokens" -}}
{{- end -}}
{{- if include "higr.predictorToken" . -}}
{{- if eq (include "higr.role" .part) "transformer" -}}
{{- $_ := set $auth "predictor_token_file" "/etc/higr/predictor/token" -}}
{{- else -}}
{{- $_ := set $auth "tokens_file" "/etc/higr/predictor/tokens" -}}
{{- end -}}
{{- end -}}
{{- if $auth -}}
{{- $_ := set $config "auth" $auth -}}
{{- end -}}
{{- if and $values.predictionLog.keySecret.name (eq (include "higr.role" .part) "transformer") -}}
{{- $_ := set $config "logs" (merge (dict "key_file" "/etc/higr/log-key/key") (default (dict) $config.logs)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
