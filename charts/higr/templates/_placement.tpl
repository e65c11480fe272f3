{{/* Labels of the pods of a part, by which policies, budgets and spread find them: (list $ PART). */}}
{{- define "higr.partLabels" -}}
{{ include "higr.selectorLabels" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Pods of one part lie apart where the cluster has room for that. */}}
{{- define "higr.spread" -}}
{{- $part := .part -}}
{{- $root := .root -}}
{{- with $root.Values.spread.topologyKeys }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ $root.Values.spread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "higr.partLabels" (list $root $part) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{/*
What KServe's autoscaler goes by in Standard mode. KServe hands `value` to KEDA as the threshold of an AverageValue:
the sum over all pods, divided by what one is to have.
*/}}
{{- define "higr.scaling" -}}
{{- $values := .root.Values -}}
{{- $role := include "higr.role" .part -}}
{{- if and (eq $values.autoscaling.kind "keda") (ne .part "feedback") }}
{{- $series := printf "namespace=%q, service=%q" .root.Release.Namespace (printf "%s-%s" .service (ternary "predictor" $role (eq .part "baseline"))) }}
autoScaling:
  metrics:
    - type: External
      external:
        metric:
          backend: prometheus
          serverAddress: {{ $values.autoscaling.prometheus }}
          {{- if eq $role "predictor" }}
          query: {{ printf "sum(higr_decoder_in_flight{%s})" $series | squote }}
          {{- else }}
          query: {{ printf "sum(rate(higr_slates_total{%s}[1m]))" $series | squote }}
          {{- end }}
        target:
          type: Value
          value: {{ ternary $values.autoscaling.inFlight $values.autoscaling.slatesPerSecond (eq $role "predictor") | quote }}
{{- else }}
scaleMetric: cpu
scaleTarget: {{ $values.autoscaling.cpuPercent }}
{{- end }}
{{- end -}}
