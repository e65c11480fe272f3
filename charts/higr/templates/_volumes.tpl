{{/*
What a serving process finds in its file system. Configuration, switch, policy and tokens are mounted as folders: a
single file (subPath) would never change in a running pod.
*/}}
{{- define "higr.mounts" -}}
{{- $values := .root.Values -}}
{{- $transformer := eq (include "higr.role" .part) "transformer" -}}
- name: tmp
  mountPath: /tmp
- name: config
  mountPath: /etc/higr/config
  readOnly: true
{{- if include "higr.policyMap" .root }}
- name: policy
  mountPath: /etc/higr/policy
  readOnly: true
{{- end }}
{{- if include "higr.clientTokens" . }}
- name: client-tokens
  mountPath: /etc/higr/clients
  readOnly: true
{{- end }}
{{- if include "higr.predictorToken" . }}
- name: predictor-token
  mountPath: /etc/higr/predictor
  readOnly: true
{{- end }}
{{- if $transformer }}
- name: switch
  mountPath: /etc/higr/switch
  readOnly: true
{{- if $values.predictionLog.keySecret.name }}
- name: log-key
  mountPath: /etc/higr/log-key
  readOnly: true
{{- end }}
{{- if $values.features.claim }}
- name: features
  mountPath: /mnt/features
  readOnly: true
{{- end }}
{{- if eq .part "feedback" }}
- name: feedback-log
  mountPath: /var/log/higr-feedback
{{- else if $values.predictionLog.claim }}
- name: prediction-log
  mountPath: /var/log/higr
{{- end }}
{{- end }}
{{- end -}}

{{- define "higr.volumes" -}}
{{- $values := .root.Values -}}
{{- $name := include "higr.fullname" .root -}}
{{- $transformer := eq (include "higr.role" .part) "transformer" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ $values.scratch.size }}
- name: config
  configMap:
    name: {{ $name }}-config
{{- with (include "higr.policyMap" .root) }}
- name: policy
  configMap:
    name: {{ . }}
{{- end }}
{{- if include "higr.clientTokens" . }}
- name: client-tokens
  secret:
    secretName: {{ $values.auth.clients.name }}
    items:
      - key: {{ $values.auth.clients.key }}
        path: tokens
{{- end }}
{{- if include "higr.predictorToken" . }}
- name: predictor-token
  secret:
    secretName: {{ $values.auth.predictor.name }}
    items:
      {{- if $transformer }}
      - key: {{ $values.auth.predictor.tokenKey }}
        path: token
      {{- else }}
      - key: {{ $values.auth.predictor.hashKey }}
        path: tokens
      {{- end }}
{{- end }}
{{- if $transformer }}
- name: switch
  configMap:
    name: {{ $name }}-switch
{{- with $values.predictionLog.keySecret.name }}
- name: log-key
  secret:
    secretName: {{ . }}
    items:
      - key: {{ $values.predictionLog.keySecret.key }}
        path: key
{{- end }}
{{- with $values.features.claim }}
- name: features
  persistentVolumeClaim:
    claimName: {{ . }}
    readOnly: true
{{- end }}
{{- if eq .part "feedback" }}
- name: feedback-log
  persistentVolumeClaim:
    claimName: {{ $values.feedback.claim }}
{{- else if $values.predictionLog.claim }}
- name: prediction-log
  persistentVolumeClaim:
    claimName: {{ $values.predictionLog.claim }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Name of the ConfigMap that holds the policy; empty: there is none. */}}
{{- define "higr.policyMap" -}}
{{- if .Values.policy.configMap -}}
{{- .Values.policy.configMap -}}
{{- else if .Values.policy.rules -}}
{{- include "higr.fullname" . }}-policy
{{- end -}}
{{- end -}}

{{/* Not empty: clients of this part show a token. */}}
{{- define "higr.clientTokens" -}}
{{- if and (eq (include "higr.role" .part) "transformer") .root.Values.auth.clients.name -}}
true
{{- end -}}
{{- end -}}

{{/* Not empty: this part shows a token to a predictor, or asks for it. */}}
{{- define "higr.predictorToken" -}}
{{- if and .root.Values.auth.predictor.name (not (has .part (list "baseline" "feedback"))) -}}
true
{{- end -}}
{{- end -}}
