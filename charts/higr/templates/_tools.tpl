{{/*
Pod spec of a job or a small server that runs the tools image:
(dict "root" $ "part" PART "command" [..] "mounts" [{name, claim, path, readOnly}] "env" YAML "bundle" BOOL "token" BOOL
"ports" YAML "probe" YAML "maps" [{name, map, path}] "restart" "OnFailure"|"Always").
`bundle`: an init container brings the bundle in production to /mnt/bundle/current. `token`: the pod may speak to the
API server, with what its Role allows. Only what reads or writes the bundle store has its credentials (tools.env).
*/}}
{{- define "higr.toolsPod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $mounts := default (list) .mounts -}}
{{- $claim := include "higr.bundleClaim" $root -}}
{{- if and .bundle $claim -}}
{{- $mounts = append $mounts (dict "name" "bundles" "claim" $claim "path" (printf "/mnt/claims/%s" $claim) "readOnly" true) -}}
{{- end -}}
serviceAccountName: {{ include "higr.fullname" $root }}-{{ .part }}
automountServiceAccountToken: {{ default false .token }}
restartPolicy: {{ .restart }}
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tools.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tools.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  fsGroup: {{ $values.predictionLog.fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- if .bundle }}
initContainers:
  - name: bundle
    {{- include "higr.toolsContainer" $root | nindent 4 }}
    command: ["python", "-c"]
    args:
      - {{ $root.Files.Get "files/fetch_bundle.py" | quote }}
      - $(BUNDLE_URI)
      - /mnt/bundle/current
    env:
      - name: BUNDLE_URI
        valueFrom:
          configMapKeyRef:
            name: {{ include "higr.fullname" $root }}-bundle
            key: stable
      {{- with (include "higr.env" $values.tools.env) }}
      {{- . | nindent 6 }}
      {{- end }}
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      - name: bundle
        mountPath: /mnt/bundle
      {{- if $claim }}
      - name: bundles
        mountPath: /mnt/claims/{{ $claim }}
        readOnly: true
      {{- end }}
{{- end }}
containers:
  - name: {{ .part }}
    {{- include "higr.toolsContainer" $root | nindent 4 }}
    command:
      {{- range .command }}
      - {{ . | quote }}
      {{- end }}
    {{- with .env }}
    env:
      {{- . | nindent 6 }}
    {{- end }}
    {{- with .ports }}
    ports:
      {{- . | nindent 6 }}
    {{- end }}
    {{- with .probe }}
    readinessProbe:
      {{- . | nindent 6 }}
    {{- end }}
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      {{- if .bundle }}
      - name: bundle
        mountPath: /mnt/bundle
        readOnly: true
      {{- end }}
      {{- range $mounts }}
      - name: {{ .name }}
        mountPath: {{ .path }}
        {{- if .readOnly }}
        readOnly: true
        {{- end }}
      {{- end }}
      {{- range .maps }}
      - name: {{ .name }}
        mountPath: {{ .path }}
        readOnly: true
      {{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ $values.scratch.size }}
  {{- if .bundle }}
  - name: bundle
    emptyDir:
      sizeLimit: {{ $values.tools.bundleSize }}
  {{- end }}
  {{- range $mounts }}
  - name: {{ .name }}
    persistentVolumeClaim:
      claimName: {{ .claim }}
      {{- if .readOnly }}
      readOnly: true
      {{- end }}
  {{- end }}
  {{- range .maps }}
  - name: {{ .name }}
    configMap:
      name: {{ .map }}
  {{- end }}
{{- end -}}

{{- define "higr.toolsContainer" -}}
image: {{ include "higr.image" (list . .Values.tools.image) | quote }}
imagePullPolicy: {{ default .Values.image.pullPolicy .Values.tools.image.pullPolicy }}
resources:
  {{- toYaml .Values.tools.resources | nindent 2 }}
securityContext:
  {{- include "higr.containerSecurity" . | nindent 2 }}
{{- end -}}

{{/* Claim of a bundle at pvc://CLAIM/PATH; empty: the bundle lies in a store. */}}
{{- define "higr.bundleClaim" -}}
{{- $uri := include "higr.stableUri" . -}}
{{- if hasPrefix "pvc://" $uri -}}
{{- (split "/" (trimPrefix "pvc://" $uri))._0 -}}
{{- end -}}
{{- end -}}

{{/*
Arguments of a job that tells the Pushgateway how it ended, where there is one:
(list $ TASK PERIOD-SECONDS [arguments of python]), as YAML.
*/}}
{{- define "higr.watched" -}}
{{- $gateway := include "higr.pushgateway" (index . 0) -}}
{{- $run := list "python" -}}
{{- if $gateway -}}
{{- $run = list "python" "-m" "monitoring" "job" "--task" (index . 1) "--period" (index . 2 | toString) "--gateway" $gateway "--" "python" -}}
{{- end -}}
{{- toYaml (concat $run (index . 3)) -}}
{{- end -}}

{{/* HOST:PORT of the Pushgateway: the chart's, another, or none. */}}
{{- define "higr.pushgateway" -}}
{{- if .Values.pushgateway.enabled -}}
{{- printf "%s-pushgateway.%s:9091" (include "higr.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- .Values.pushgateway.address -}}
{{- end -}}
{{- end -}}

{{/* spec of a CronJob around a pod: (dict "root" $ "part" PART "schedule" S "seconds" N "pod" YAML "retries" N). */}}
{{- define "higr.cronSpec" -}}
schedule: {{ .schedule | quote }}
timeZone: Etc/UTC
concurrencyPolicy: Forbid
startingDeadlineSeconds: 600
successfulJobsHistoryLimit: 1
failedJobsHistoryLimit: 3
jobTemplate:
  spec:
    {{- include "higr.jobSpec" . | nindent 4 }}
{{- end -}}

{{- define "higr.jobSpec" -}}
backoffLimit: {{ .retries }}
activeDeadlineSeconds: {{ .seconds }}
template:
  metadata:
    labels:
      {{- include "higr.partLabels" (list .root .part) | nindent 6 }}
  spec:
    {{- .pod | nindent 4 }}
{{- end -}}
