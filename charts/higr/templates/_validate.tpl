{{/* Refuses what a JSON schema cannot see, each with the value and what to do. */}}
{{- define "higr.validate" -}}
{{- $values := .Values -}}
{{- $name := include "higr.fullname" . -}}
{{- range $role := list "transformer" "predictor" "canary" -}}
{{- $replicas := (index $values $role).replicas -}}
{{- if lt (int $replicas.max) (int $replicas.min) -}}
{{- fail (printf "%s.replicas.max is %d, less than %s.replicas.min, which is %d: raise max or lower min" $role (int $replicas.max) $role (int $replicas.min)) -}}
{{- end -}}
{{- end -}}
{{- if ge (int $values.monitoring.timeoutSeconds) (int $values.monitoring.intervalSeconds) -}}
{{- fail (printf "monitoring.timeoutSeconds is %d, not less than monitoring.intervalSeconds, which is %d: a scrape must end before the next" (int $values.monitoring.timeoutSeconds) (int $values.monitoring.intervalSeconds)) -}}
{{- end -}}
{{- /* what goes only in Standard mode */ -}}
{{- if eq $values.deploymentMode "Knative" -}}
{{- if $values.canary.enabled -}}
{{- fail "canary.enabled needs deploymentMode Standard: the route weighs Services, and Knative's own traffic split moves transformer and predictor apart" -}}
{{- end -}}
{{- if $values.route.enabled -}}
{{- fail "route.enabled needs deploymentMode Standard: in Knative mode KServe and Knative route, to revisions that a route of the chart does not know" -}}
{{- end -}}
{{- if $values.networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled needs deploymentMode Standard: in Knative mode requests come through Knative's activator and queue-proxy, whose policies belong to Knative" -}}
{{- end -}}
{{- if eq $values.autoscaling.kind "keda" -}}
{{- fail "autoscaling.kind keda needs deploymentMode Standard: in Knative mode Knative scales" -}}
{{- end -}}
{{- end -}}
{{- /* what needs something else */ -}}
{{- $needs := list
      (list $values.baselineOnly (not $values.canary.enabled) "baselineOnly has no model to try: set canary.enabled to false")
      (list $values.baselineOnly (has $values.switch.mode (list "" "baseline")) (printf "baselineOnly has no model to ask: switch.mode is %s, leave it empty" $values.switch.mode))
      (list $values.canary.enabled $values.route.enabled "canary.enabled needs route.enabled: nothing else weighs stable and canary")
      (list $values.canary.enabled $values.canary.storageUri "canary.enabled needs canary.storageUri: the bundle to try")
      (list $values.rollout.enabled $values.canary.enabled "rollout.enabled needs canary.enabled: there is nothing to roll out")
      (list $values.rollout.enabled $values.monitoring.enabled "rollout.enabled needs monitoring.enabled: it judges by metrics that nobody would scrape")
      (list $values.feedback.enabled $values.feedback.claim "feedback.enabled needs feedback.claim: what is acknowledged has to outlive the pod")
      (list $values.feedback.push $values.feedback.enabled "feedback.push needs feedback.enabled: there is no feedback to push")
      (list $values.feedback.push (include "higr.redisUrl" .) "feedback.push needs redis.enabled or redis.url: the store's SQLite is mounted read-only")
      (list $values.feedback.push $values.features.claim "feedback.push needs features.claim: there is no store to push to")
      (list $values.features.materialise.enabled $values.features.claim "features.materialise.enabled needs features.claim: there is no volume for the store")
      (list $values.features.materialise.enabled $values.features.path "features.materialise.enabled needs features.path: a store is replaced as a whole, which the root of a volume cannot be")
      (list $values.features.materialise.enabled $values.features.data.claim "features.materialise.enabled needs features.data.claim: the prepared data")
      (list $values.features.push.enabled $values.features.materialise.enabled "features.push.enabled needs features.materialise.enabled: it adds to the store that is made there")
      (list $values.features.push.enabled $values.feedback.enabled "features.push.enabled needs feedback.enabled: there is no feedback log to read")
      (list $values.redis.enabled (not $values.redis.url) "redis.enabled and redis.url exclude each other: empty one of them")
      (list $values.redis.enabled $values.redis.passwordSecret.name "redis.enabled needs redis.passwordSecret.name: a Redis without a password serves whoever reaches it")
      (list $values.drift.enabled (not $values.baselineOnly) "drift.enabled compares what a model serves: baselineOnly has none")
      (list $values.drift.enabled $values.predictionLog.claim "drift.enabled needs predictionLog.claim: there are no slates to look at")
      (list $values.drift.enabled $values.feedback.enabled "drift.enabled needs feedback.enabled: there is no reception to look at")
      (list $values.drift.enabled $values.drift.claim "drift.enabled needs drift.claim: its state has to outlive the pod")
      (list $values.outcomes.enabled (and $values.predictionLog.claim $values.feedback.enabled) "outcomes.enabled needs predictionLog.claim and feedback.enabled: it joins both logs")
      (list $values.pushgateway.enabled (not $values.pushgateway.address) "pushgateway.enabled and pushgateway.address exclude each other: empty one of them")
      (list (eq $values.autoscaling.kind "keda") $values.autoscaling.prometheus "autoscaling.kind keda needs autoscaling.prometheus: the address of the Prometheus to ask")
      (list $values.monitoring.rules.enabled $values.monitoring.enabled "monitoring.rules.enabled needs monitoring.enabled: the rules would have nothing to read")
      (list (default (dict) $values.serving.features).item_status_seconds $values.features.claim "serving.features.item_status_seconds needs features.claim: there is no store to ask")
      (list $values.predictionLog.keySecret.name (has "user_id" (default (list) (default (dict) $values.serving.logs).redact)) "predictionLog.keySecret is for user_id in serving.logs.redact: name it there or empty the secret")
-}}
{{- range $needs -}}
{{- if and (index . 0) (not (index . 1)) -}}
{{- fail (index . 2) -}}
{{- end -}}
{{- end -}}
{{- include "higr.validateOutcomes" . -}}
{{- include "higr.requireKinds" . -}}
{{- include "higr.requireSecrets" . -}}
{{- end -}}

{{/* A rollout that judges what users do needs somebody who counts it, with the same patience. */}}
{{- define "higr.validateOutcomes" -}}
{{- $config := .Values.rollout.config -}}
{{- $judged := or (not (hasKey $config "outcomes")) (kindIs "map" $config.outcomes) -}}
{{- if and .Values.rollout.enabled $judged -}}
{{- if not .Values.outcomes.enabled -}}
{{- fail "rollout.enabled needs outcomes.enabled: nobody would count what users make of their slates (rollout.config.outcomes null: it is not judged)" -}}
{{- end -}}
{{- $settle := default 900 (default (dict) $config.outcomes).settle_seconds -}}
{{- if ne (float64 $settle) (float64 .Values.outcomes.settleSeconds) -}}
{{- fail (printf "outcomes.settleSeconds is %v and rollout.config.outcomes.settle_seconds is %v: give both the same" .Values.outcomes.settleSeconds $settle) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the cluster must have, and which value asks for it. Asks nothing of `helm lint`. */}}
{{- define "higr.requireKinds" -}}
{{- $values := .Values -}}
{{- $standard := eq $values.deploymentMode "Standard" -}}
{{- $kinds := list
      (list true "serving.kserve.io/v1beta1/InferenceService" "KServe 0.18" "this chart")
      (list (not $standard) "serving.knative.dev/v1/Service" "Knative Serving" "deploymentMode Knative")
      (list $values.servingRuntime.enabled "serving.kserve.io/v1alpha1/ServingRuntime" "KServe 0.18" "servingRuntime.enabled")
      (list $values.route.enabled "gateway.networking.k8s.io/v1/HTTPRoute" "the Gateway API" "route.enabled")
      (list (eq $values.autoscaling.kind "keda") "keda.sh/v1alpha1/ScaledObject" "KEDA" "autoscaling.kind keda")
      (list $values.monitoring.enabled (printf "monitoring.coreos.com/v1/%s" (ternary "ServiceMonitor" "PodMonitor" $standard)) "the Prometheus operator" "monitoring.enabled")
      (list $values.monitoring.rules.enabled "monitoring.coreos.com/v1/PrometheusRule" "the Prometheus operator" "monitoring.rules.enabled")
      (list $values.monitoring.alertmanager.enabled "monitoring.coreos.com/v1alpha1/AlertmanagerConfig" "the Prometheus operator" "monitoring.alertmanager.enabled")
-}}
{{- $versions := .Capabilities.APIVersions -}}
{{- range $kinds -}}
{{- if and (index . 0) (not ($versions.Has (index . 1))) -}}
{{- fail (printf "the cluster has no %s, which %s needs: install %s, or change the values (helm template: add --api-versions %s)" (index . 1) (index . 3) (index . 2) (index . 1)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Secrets are named, never made. One that is missing is said now, not by a pod that waits for it. Every namespace of a
cluster holds kube-root-ca.crt: without it no cluster is asked.
*/}}
{{- define "higr.requireSecrets" -}}
{{- $root := . -}}
{{- if lookup "v1" "ConfigMap" .Release.Namespace "kube-root-ca.crt" -}}
{{- range include "higr.secrets" . | fromYamlArray -}}
{{- $found := lookup "v1" "Secret" $root.Release.Namespace .name -}}
{{- if not $found -}}
{{- fail (printf "secret %s, which %s names, is not in namespace %s: create it first" .name .by $root.Release.Namespace) -}}
{{- end -}}
{{- range .keys -}}
{{- if and . (not (hasKey (default (dict) $found.data) .)) -}}
{{- fail (printf "secret %s has no key %s: add it" $found.metadata.name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Every secret the values name: [{name, keys, by}], as YAML. */}}
{{- define "higr.secrets" -}}
{{- $values := .Values -}}
{{- $alerts := $values.monitoring.alertmanager -}}
{{- $named := list
      (list "auth.clients" $values.auth.clients.name (list $values.auth.clients.key))
      (list "auth.predictor" $values.auth.predictor.name (list $values.auth.predictor.tokenKey $values.auth.predictor.hashKey))
      (list "auth.test" $values.auth.test.name (list $values.auth.test.key))
      (list "predictionLog.keySecret" $values.predictionLog.keySecret.name (list $values.predictionLog.keySecret.key))
      (list "redis.passwordSecret" $values.redis.passwordSecret.name (list $values.redis.passwordSecret.key))
-}}
{{- if $alerts.enabled -}}
{{- $named = concat $named (list
      (list "monitoring.alertmanager.pager" $alerts.pager.name (list $alerts.pager.key))
      (list "monitoring.alertmanager.daylight" $alerts.daylight.name (list $alerts.daylight.key))
      (list "monitoring.alertmanager.deadMan" $alerts.deadMan.name (list $alerts.deadMan.key))) -}}
{{- end -}}
{{- range $values.serviceAccount.storageSecrets -}}
{{- $named = append $named (list "serviceAccount.storageSecrets" . (list)) -}}
{{- end -}}
{{- range $values.imagePullSecrets -}}
{{- $named = append $named (list "imagePullSecrets" .name (list)) -}}
{{- end -}}
{{- range $section := list "transformer" "predictor" "tools" -}}
{{- range (index $values $section).env -}}
{{- $named = append $named (list (printf "%s.env" $section) (default "" .secretName) (list (default "" .secretKey))) -}}
{{- end -}}
{{- end -}}
{{- $secrets := list -}}
{{- range $named -}}
{{- if index . 1 -}}
{{- $secrets = append $secrets (dict "by" (index . 0) "name" (index . 1) "keys" (index . 2)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $secrets -}}
{{- end -}}
