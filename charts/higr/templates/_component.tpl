{{/*
One component of the InferenceService: (dict "root" $ "role" "transformer"|"predictor").
Fields Knative refuses (lifecycle, pod security context, grace period) appear in Standard mode alone.
*/}}
{{- define "higr.component" -}}
{{- $root := .root -}}
{{- $role := .role -}}
{{- $values := index $root.Values $role -}}
{{- $standard := eq $root.Values.deploymentMode "Standard" -}}
{{- $image := default (dict) $values.image -}}
{{- $features := and (eq $role "transformer") $root.Values.features.claim -}}
{{- $log := and (eq $role "transformer") $root.Values.predictionLog.claim -}}
minReplicas: {{ $values.replicas.min }}
maxReplicas: {{ $values.replicas.max }}
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
terminationGracePeriodSeconds: {{ add $root.Values.shutdown.preStopSeconds $root.Values.shutdown.graceSeconds }}
securityContext:
  runAsNonRoot: true
  {{- if $log }}
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
      {{- toYaml $values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      capabilities:
        drop: ["ALL"]
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      seccompProfile:
        type: RuntimeDefault
    {{- include "higr.probes" . | nindent 4 }}
    {{- if $standard }}
    lifecycle:
      preStop:
        sleep:
          seconds: {{ $root.Values.shutdown.preStopSeconds }}
    {{- end }}
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      {{- if eq $role "transformer" }}
      - name: switch
        mountPath: /etc/higr/switch
        readOnly: true
      {{- end }}
      {{- if $features }}
      - name: features
        mountPath: /mnt/features
        readOnly: true
        {{- with $root.Values.features.path }}
        subPath: {{ . }}
        {{- end }}
      {{- end }}
      {{- if $log }}
      - name: prediction-log
        mountPath: /var/log/higr
      {{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ $root.Values.scratch.size }}
  {{- if eq $role "transformer" }}
  - name: switch
    configMap:
      name: {{ include "higr.fullname" $root }}-switch
  {{- end }}
  {{- if $features }}
  - name: features
    persistentVolumeClaim:
      claimName: {{ $features }}
      readOnly: true
  {{- end }}
  {{- if $log }}
  - name: prediction-log
    persistentVolumeClaim:
      claimName: {{ $log }}
  {{- end }}
{{- end -}}

{{/*
KServe appends --model_name, --predictor_host and --http_port (spelt with underscores) to a custom transformer that
lacks them; naming all three here keeps the rendered manifest the whole truth.
*/}}
{{- define "higr.arguments" -}}
- --role={{ .role }}
- --bundle=/mnt/models
- --http_port=8080
{{- if eq .role "transformer" }}
- --model_name={{ include "higr.modelName" .role }}
- --predictor_host={{ include "higr.predictorHost" .root }}
- --deadline-ms={{ .root.Values.deadline.milliseconds }}
- --switch=/etc/higr/switch/mode
{{- if .root.Values.features.claim }}
- --features=/mnt/features
{{- end }}
{{- if .root.Values.predictionLog.claim }}
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
  value: {{ .root.Values.bundle.storageUri | quote }}
{{- range (index .root.Values .role).env }}
- name: {{ .name }}
  {{- if hasKey . "value" }}
  value: {{ .value | quote }}
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ .secretName }}
      key: {{ .secretKey }}
  {{- end }}
{{- end }}
{{- end -}}

{{/*
Readiness asks for the model by name, since /v2/health/ready of a KServe server is true with no model at all.
Liveness asks the event loop alone: a predictor that is busy decoding must not be killed.
*/}}
{{- define "higr.probes" -}}
{{- $probes := .root.Values.probes -}}
{{- $ready := printf "/v2/models/%s/ready" (include "higr.modelName" .role) -}}
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
