{{/*
One component of an InferenceService:
(dict "root" $ "part" PART "service" NAME "uri" URI "before" PUT-BACK "replicas" {min, max}).

PART   process of `python -m serving`
transformer, canary-transformer   role transformer before the predictor of the same InferenceService
predictor, canary-predictor       role predictor
baseline   role transformer that never asks a predictor
feedback   the same, and it takes what is sent to /v1/feedback

Fields Knative refuses (lifecycle, pod security context, grace period, spread) appear in Standard mode alone.
*/}}
{{- define "higr.component" -}}
{{- $root := .root -}}
{{- $role := include "higr.role" .part -}}
{{- $values := index $root.Values $role -}}
{{- $standard := or (eq $root.Values.deploymentMode "Standard") (eq .part "feedback") -}}
{{- $image := default (dict) $values.image -}}
minReplicas: {{ .replicas.min }}
maxReplicas: {{ .replicas.max }}
{{- if $standard }}
{{- include "higr.scaling" . }}
{{- end }}
labels:
  {{- include "higr.partLabels" (list $root .part) | nindent 2 }}
annotations:
  checksum/config: {{ include "higr.config" . | sha256sum }}
serviceAccountName: {{ include "higr.serviceAccountName" $root }}
automountServiceAccountToken: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $standard }}
{{- include "higr.spread" . }}
terminationGracePeriodSeconds: {{ add $root.Values.shutdown.preStopSeconds $root.Values.shutdown.graceSeconds }}
{{- if eq .part "feedback" }}
deploymentStrategy:
  type: Recreate
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if include "higr.writesLog" . }}
  fsGroup: {{ $root.Values.predictionLog.fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}
containers:
  - name: kserve-container
    image: {{ include "higr.image" (list $root $image) | quote }}
    imagePullPolicy: {{ default $root.Values.image.pullPolicy $image.pullPolicy }}
    command: ["python", "-m", "serving"]
    args:
      {{- include "higr.arguments" . | nindent 6 }}
    env:
      {{- include "higr.environment" . | nindent 6 }}
    ports:
      - name: http1
        containerPort: 8080
        protocol: TCP
    resources:
      {{- toYaml (ternary $root.Values.feedback.resources $values.resources (eq .part "feedback")) | nindent 6 }}
    securityContext:
      {{- include "higr.containerSecurity" $root | nindent 6 }}
    {{- include "higr.probes" . | nindent 4 }}
    {{- if $standard }}
    lifecycle:
      preStop:
        sleep:
          seconds: {{ $root.Values.shutdown.preStopSeconds }}
    {{- end }}
    volumeMounts:
      {{- include "higr.mounts" . | nindent 6 }}
volumes:
  {{- include "higr.volumes" . | nindent 2 }}
{{- end -}}

{{/* Section of the values that sizes and places a part. */}}
{{- define "higr.role" -}}
{{- ternary "predictor" "transformer" (hasSuffix "predictor" .) -}}
{{- end -}}

{{/* Not empty: the part writes to a claim. */}}
{{- define "higr.writesLog" -}}
{{- if eq .part "feedback" -}}
true
{{- else if and (eq (include "higr.role" .part) "transformer") .root.Values.predictionLog.claim -}}
true
{{- end -}}
{{- end -}}

{{/*
KServe appends --model_name, --predictor_host and --http_port (spelt with underscores) to a custom transformer that
lacks them; naming all three here keeps the rendered manifest the whole truth.
*/}}
{{- define "higr.arguments" -}}
{{- $values := .root.Values -}}
{{- $role := include "higr.role" .part -}}
- --role={{ $role }}
- --bundle=/mnt/models
- --http_port=8080
- --config=/etc/higr/config/{{ .part }}.yaml
{{- if include "higr.policyMap" .root }}
- --policy=/etc/higr/policy/policy.yaml
{{- end }}
{{- if eq $role "transformer" }}
- --model_name={{ include "higr.modelName" .part }}
- --predictor_host={{ include "higr.predictorHost" . }}
- --deadline-ms={{ $values.deadline.milliseconds }}
- --switch=/etc/higr/switch/mode
{{- if $values.features.claim }}
- --features={{ list "/mnt/features" $values.features.path | compact | join "/" }}
{{- end }}
{{- if eq .part "feedback" }}
- --feedback-dir=/var/log/higr-feedback
{{- else if $values.predictionLog.claim }}
- --log-dir=/var/log/higr
{{- end }}
{{- end }}
{{- end -}}

{{/*
STORAGE_URI makes KServe's webhook inject the storage initializer, for a custom transformer as for a custom predictor;
it mounts the bundle read-only at /mnt/models.
*/}}
{{- define "higr.environment" -}}
- name: STORAGE_URI
  value: {{ .uri | quote }}
{{- if eq (include "higr.role" .part) "transformer" }}
{{- with (include "higr.redisPassword" .root) }}
{{ . }}
{{- end }}
{{- end }}
{{- with (include "higr.env" (index .root.Values (include "higr.role" .part)).env) }}
{{ . }}
{{- end }}
{{- with .before }}
- name: HIGR_BUNDLE_BEFORE
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Environment as the values have it, to environment as a pod has it. */}}
{{- define "higr.env" -}}
{{- $lines := list -}}
{{- range . -}}
{{- if hasKey . "value" -}}
{{- $lines = append $lines (printf "- name: %s\n  value: %s" .name (quote .value)) -}}
{{- else -}}
{{- $lines = append $lines (printf "- name: %s\n  valueFrom:\n    secretKeyRef:\n      name: %s\n      key: %s" .name .secretName .secretKey) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}

{{/*
Readiness asks for the model by name, since /v2/health/ready of a KServe server is true with no model at all.
Liveness asks the event loop alone: a predictor that is busy decoding must not be killed.
*/}}
{{- define "higr.probes" -}}
{{- $probes := .root.Values.probes -}}
{{- $ready := printf "/v2/models/%s/ready" (include "higr.modelName" .part) -}}
startupProbe:
  httpGet:
    path: {{ $ready }}
    port: 8080
  periodSeconds: {{ $probes.periodSeconds }}
  timeoutSeconds: {{ $probes.timeoutSeconds }}
  failureThreshold: {{ divf $probes.startupSeconds $probes.periodSeconds | ceil | int }}
readinessProbe:
  httpGet:
    path: {{ $ready }}
    port: 8080
  periodSeconds: {{ $probes.periodSeconds }}
  timeoutSeconds: {{ $probes.timeoutSeconds }}
  failureThreshold: 2
livenessProbe:
  httpGet:
    path: /
    port: 8080
  periodSeconds: {{ $probes.periodSeconds }}
  timeoutSeconds: {{ $probes.timeoutSeconds }}
  failureThreshold: 6
{{- end -}}
