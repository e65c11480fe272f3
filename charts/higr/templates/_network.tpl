{{/*
Arrows of the network, as docs/chart.md draws them: who may speak to whom. From them follow both the ingress rules of
the one side and the egress rules of the other. Names with a capital are outside of the chart; their peers are values,
and the ports of those that are reached, 0 here, too.
*/}}
{{- define "higr.arrows" -}}
{{- $values := .Values -}}
{{- $parts := include "higr.parts" . | fromYamlArray -}}
{{- $accounts := include "higr.accounts" . | fromYamlArray -}}
{{- $present := concat $parts $accounts (list "test") -}}
{{- $arrows := list
      (list "Clients" "transformer" 8080) (list "Clients" "canary-transformer" 8080) (list "Clients" "baseline" 8080) (list "Clients" "feedback" 8080)
      (list "test" "transformer" 8080) (list "test" "baseline" 8080)
      (list "transformer" "predictor" 8080) (list "canary-transformer" "canary-predictor" 8080)
-}}
{{- range $scraped := list "transformer" "predictor" "canary-transformer" "canary-predictor" "baseline" "feedback" -}}
{{- $arrows = append $arrows (list "Prometheus" $scraped 8080) -}}
{{- end -}}
{{- /* A rollout takes the bundle of one side to the other. */ -}}
{{- $moves := .Values.rollout.enabled -}}
{{- $stableClaim := hasPrefix "pvc://" (include "higr.stableUri" .) -}}
{{- $canaryClaim := hasPrefix "pvc://" (include "higr.canaryUri" .) -}}
{{- if or (not $stableClaim) (and $moves (not $canaryClaim)) -}}
{{- range $loads := list "transformer" "predictor" "baseline" "feedback" "drift" "outcomes" -}}
{{- $arrows = append $arrows (list $loads "Storage" 0) -}}
{{- end -}}
{{- end -}}
{{- if or (not $canaryClaim) (and $moves (not $stableClaim)) -}}
{{- $arrows = concat $arrows (list (list "canary-transformer" "Storage" 0) (list "canary-predictor" "Storage" 0)) -}}
{{- end -}}
{{- $arrows = concat $arrows (list (list "Prometheus" "drift-exporter" 9105) (list "Prometheus" "outcomes" 9106) (list "Prometheus" "pushgateway" 9091)) -}}
{{- range $reader := list "transformer" "canary-transformer" "baseline" "feedback" "features" -}}
{{- if $values.redis.enabled -}}
{{- $arrows = append $arrows (list $reader "redis" 6379) -}}
{{- else if $values.redis.url -}}
{{- $arrows = append $arrows (list $reader "Redis" 0) -}}
{{- end -}}
{{- end -}}
{{- range $job := list "features" "drift" "rollout" -}}
{{- if $values.pushgateway.enabled -}}
{{- $arrows = append $arrows (list $job "pushgateway" 9091) -}}
{{- else if $values.pushgateway.address -}}
{{- $arrows = append $arrows (list $job "Pushgateway" 0) -}}
{{- end -}}
{{- end -}}
{{- if $values.drift.movesSwitch -}}
{{- $arrows = append $arrows (list "drift" "API" 0) -}}
{{- end -}}
{{- $arrows = concat $arrows (list (list "rollout" "API" 0) (list "rollout" "Prometheus" 0)) -}}
{{- if $values.rollout.store -}}
{{- $arrows = append $arrows (list "rollout" "Storage" 0) -}}
{{- end -}}
{{- range $sender := list "transformer" "canary-transformer" "baseline" "feedback" -}}
{{- if (default (dict) $values.serving.logs).cloudevents_url -}}
{{- $arrows = append $arrows (list $sender "Events" 0) -}}
{{- end -}}
{{- end -}}
{{- $drawn := list -}}
{{- $outside := list "Clients" "Prometheus" "Storage" "Redis" "Pushgateway" "API" "Events" -}}
{{- range $arrow := $arrows -}}
{{- $from := index $arrow 0 -}}
{{- $to := index $arrow 1 -}}
{{- if and (or (has $from $outside) (has $from $present)) (or (has $to $outside) (has $to $present)) -}}
{{- $drawn = append $drawn (dict "from" $from "to" $to "port" (index $arrow 2)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $drawn -}}
{{- end -}}

{{/* Key of networkPolicy.peers for a name with a capital. */}}
{{- define "higr.peerKey" -}}
{{- get (dict "Clients" "clients" "Prometheus" "prometheus" "Storage" "storage" "Redis" "redis" "Pushgateway" "pushgateway" "API" "apiServer" "Events" "events" "DNS" "dns") . -}}
{{- end -}}

{{/* Who a name outside of the chart is: (list $ NAME). An arrow to nobody is a mistake: no rule would let it pass. */}}
{{- define "higr.peers" -}}
{{- $key := include "higr.peerKey" (index . 1) -}}
{{- $peer := index (index . 0).Values.networkPolicy.peers $key -}}
{{- if not $peer.selectors -}}
{{- fail (printf "networkPolicy.peers.%s.selectors is empty, and something needs to reach or be reached by it: name its pods or addresses" $key) -}}
{{- end -}}
{{- toYaml $peer.selectors -}}
{{- end -}}
