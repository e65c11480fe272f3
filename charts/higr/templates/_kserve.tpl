{{/* Where the chart routes, KServe makes no route of its own: in Standard mode it would have the same name. */}}
{{- define "higr.visibility" -}}
{{- if .Values.route.enabled -}}
networking.kserve.io/visibility: cluster-local
{{- end -}}
{{- end -}}

{{- define "higr.autoscaler" -}}
{{- if and (eq .Values.autoscaling.kind "keda") (eq .Values.deploymentMode "Standard") -}}
serving.kserve.io/autoscalerClass: keda
{{- end -}}
{{- end -}}

{{/* A backend of a route: (list SERVICE WEIGHT). */}}
{{- define "higr.backend" -}}
- group: ""
  kind: Service
  name: {{ index . 0 }}
  port: 80
  weight: {{ index . 1 }}
{{- end -}}

{{/* Parts of serving that these values ask for, as YAML. */}}
{{- define "higr.parts" -}}
{{- $parts := ternary (list "baseline") (list "transformer" "predictor") .Values.baselineOnly -}}
{{- if .Values.canary.enabled -}}
{{- $parts = concat $parts (list "canary-transformer" "canary-predictor") -}}
{{- end -}}
{{- if .Values.feedback.enabled -}}
{{- $parts = append $parts "feedback" -}}
{{- end -}}
{{- toYaml $parts -}}
{{- end -}}
