{{/* Address of Redis for Feast, without a password; empty: online rows are in the store's SQLite. */}}
{{- define "higr.redisUrl" -}}
{{- if .Values.redis.enabled -}}
{{- printf "redis://%s-redis.%s:6379/0" (include "higr.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- .Values.redis.url -}}
{{- end -}}
{{- end -}}

{{/* Environment of whoever opens the store. */}}
{{- define "higr.redisPassword" -}}
{{- if and (include "higr.redisUrl" .) .Values.redis.passwordSecret.name -}}
- name: HIGR_REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.passwordSecret.name }}
      key: {{ .Values.redis.passwordSecret.key }}
{{- end -}}
{{- end -}}
