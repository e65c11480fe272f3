{{- define "higr.metricsPort" -}}
- name: metrics
  containerPort: {{ . }}
  protocol: TCP
{{- end -}}

{{- define "higr.metricsProbe" -}}
httpGet:
  path: /metrics
  port: metrics
periodSeconds: {{ .Values.probes.periodSeconds }}
timeoutSeconds: {{ .Values.probes.timeoutSeconds }}
{{- end -}}

{{/* Service through which Prometheus finds a part: (list $ PART). */}}
{{- define "higr.metricsService" }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "higr.metadata" (list (index . 0) (printf "%s-%s" (include "higr.fullname" (index . 0)) (index . 1))) | nindent 2 }}
    app.kubernetes.io/component: {{ index . 1 }}
spec:
  selector:
    {{- include "higr.partLabels" . | nindent 4 }}
  ports:
    - name: metrics
      port: 80
      targetPort: metrics
{{- end -}}

{{/* metadata.labels of what the Prometheus operator reads: those of the chart, and those it selects by. */}}
{{- define "higr.monitorMetadata" -}}
{{- include "higr.metadata" . }}
  {{- with (index . 0).Values.monitoring.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "higr.scrape" -}}
path: /metrics
interval: {{ .Values.monitoring.intervalSeconds }}s
scrapeTimeout: {{ .Values.monitoring.timeoutSeconds }}s
{{- end -}}
