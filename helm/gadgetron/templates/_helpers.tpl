{{/* Names. */}}
{{- define "gadgetron.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "gadgetron.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: (list $ "component"). */}}
{{- define "gadgetron.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "gadgetron.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "gadgetron.labels" -}}
{{- $root := index . 0 -}}
{{ include "gadgetron.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* An image reference: (list $ dict-with-repository-tag-digest). */}}
{{- define "gadgetron.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with $root.Values.registryMirror -}}
{{- if not (hasPrefix (printf "%s/" (trimSuffix "/" .)) $repository) -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- end -}}
{{- if contains "@" $repository -}}
{{- $repository -}}
{{- else if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else if $image.tag -}}
{{- printf "%s:%s" $repository $image.tag -}}
{{- else if regexMatch ":[^/]+$" $repository -}}
{{- $repository -}}
{{- else -}}
{{- printf "%s:%s" $repository $root.Chart.AppVersion -}}
{{- end -}}
{{- end -}}

{{/* Whether a repository is an upstream Gadgetron's. */}}
{{- define "gadgetron.upstream" -}}
{{- if and (regexMatch "(^|/)gadgetron(_[a-z0-9_]+)?(/|@|:|$)" .) (not (contains "elastron" .)) -}}true{{- end -}}
{{- end -}}

{{/* Our own image, as a dict in YAML. */}}
{{- define "gadgetron.ownImageDict" -}}
{{- $own := dict "repository" "ghcr.io/elastron/elastron" "tag" "" "digest" "" "pullPolicy" "IfNotPresent" -}}
{{- if not (include "gadgetron.upstream" .Values.image.repository) -}}
{{- if ne .Values.engine "gadgetron" -}}
{{- $own = merge (dict) .Values.image $own -}}
{{- end -}}
{{- end -}}
{{- $given := dict -}}
{{- range $key, $value := .Values.elastronImage -}}
{{- if $value -}}{{- $_ := set $given $key $value -}}{{- end -}}
{{- end -}}
{{- if $given.repository -}}
{{- $own = dict "repository" $given.repository "tag" "" "digest" "" "pullPolicy" $own.pullPolicy -}}
{{- end -}}
{{- toYaml (merge $given $own) -}}
{{- end -}}

{{- define "gadgetron.ownImage" -}}
{{- include "gadgetron.image" (list . (include "gadgetron.ownImageDict" . | fromYaml)) -}}
{{- end -}}

{{- define "gadgetron.ownPullPolicy" -}}
{{- (include "gadgetron.ownImageDict" . | fromYaml).pullPolicy | default "IfNotPresent" -}}
{{- end -}}

{{/* All pools with every field filled in, the default one first: YAML of {pools: [...]}. */}}
{{- define "gadgetron.pools" -}}
{{- $root := . -}}
{{- $values := .Values -}}
{{- $default := dict
  "name" "default"
  "image" $values.image
  "engine" $values.engine
  "replicaCount" $values.replicaCount
  "capacity" $values.capacity
  "resources" $values.resources
  "nodeSelector" $values.nodeSelector
  "tolerations" $values.tolerations
  "affinity" $values.affinity
  "topologySpreadConstraints" $values.topologySpreadConstraints
  "priorityClassName" $values.priorityClassName
  "runtimeClassName" ""
  "hpa" $values.hpa
  "placeholders" $values.placeholders
  "configs" (list)
  "needs" (list)
-}}
{{- $pools := list $default -}}
{{- range $values.pools -}}
{{- $pool := deepCopy . -}}
{{- $filled := deepCopy $default -}}
{{- /* What costs machines by itself is asked for by each pool. */ -}}
{{- $_ := set $filled.hpa "schedule" dict -}}
{{- $_ := set $filled.placeholders "replicas" 0 -}}
{{- range $field := list "resources" "nodeSelector" "affinity" -}}
{{- if hasKey $pool $field -}}{{- $_ := set $filled $field (get $pool $field) -}}{{- end -}}
{{- end -}}
{{- range $field := list "image" "hpa" "placeholders" -}}
{{- $_ := set $filled $field (mergeOverwrite (deepCopy (get $filled $field)) (default (dict) (get $pool $field))) -}}
{{- end -}}
{{- range $field := list "name" "engine" "replicaCount" "capacity" "tolerations" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "configs" "needs" -}}
{{- if hasKey $pool $field -}}{{- $_ := set $filled $field (get $pool $field) -}}{{- end -}}
{{- end -}}
{{- if and $pool.image (not (hasKey $pool "engine")) -}}{{- $_ := set $filled "engine" "" -}}{{- end -}}
{{- $pools = append $pools $filled -}}
{{- end -}}
{{- range $pools -}}
{{- if not .engine -}}
{{- $_ := set . "engine" (ternary "gadgetron" "elastron" (eq (include "gadgetron.upstream" .image.repository) "true")) -}}
{{- end -}}
{{- $suffix := ternary "" (printf "-%s" .name) (eq .name "default") -}}
{{- $_ := set . "workload" (printf "%s-node%s" (include "gadgetron.fullname" $root) $suffix) -}}
{{- end -}}
{{- toYaml (dict "pools" $pools) -}}
{{- end -}}

{{- define "gadgetron.storageUrl" -}}
http://{{ include "gadgetron.fullname" . }}-storage.{{ .Release.Namespace }}:8080
{{- end -}}

{{/* Whether the storage server keeps anything on a volume: SQLite, or blobs in a folder. */}}
{{- define "gadgetron.storageOnVolume" -}}
{{- $s := .Values.storageServer -}}
{{- $blobsElsewhere := or $s.blobs (and $s.storageAccountConnectionStringSecretName (gt (int $s.replicaCount) 1)) -}}
{{- if and $s.enabled (not (and $s.databaseSecretName $blobsElsewhere)) -}}true{{- end -}}
{{- end -}}

{{/* true | false | auto, where auto asks the cluster: (list $ value "group/version"). */}}
{{- define "gadgetron.enabled" -}}
{{- $root := index . 0 -}}
{{- $value := toString (index . 1) -}}
{{- if eq $value "auto" -}}
{{- if $root.Capabilities.APIVersions.Has (index . 2) -}}true{{- end -}}
{{- else if eq $value "true" -}}true{{- end -}}
{{- end -}}

{{- define "gadgetron.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Windows and rates of autoscaling/v2: (list $ hpa). */}}
{{- define "gadgetron.behaviour" -}}
{{- $root := index . 0 -}}
{{- $hpa := index . 1 -}}
{{- range $direction := list "scaleUp" "scaleDown" }}
{{- $rules := get $hpa $direction }}
{{ $direction }}:
  stabilizationWindowSeconds: {{ $rules.stabilizationWindowSeconds }}
  {{- if semverCompare ">=1.33-0" $root.Capabilities.KubeVersion.Version }}
  tolerance: {{ $rules.tolerance | quote }}
  {{- end }}
  selectPolicy: Max
  policies:
    {{- if gt (int $rules.percent) 0 }}
    - {type: Percent, value: {{ $rules.percent }}, periodSeconds: {{ $rules.periodSeconds }}}
    {{- end }}
    {{- if gt (int $rules.pods) 0 }}
    - {type: Pods, value: {{ $rules.pods }}, periodSeconds: {{ $rules.periodSeconds }}}
    {{- end }}
{{- if not (or (gt (int $rules.percent) 0) (gt (int $rules.pods) 0)) }}
{{- fail (printf "hpa.%s needs percent or pods above 0." $direction) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What the clouds' load balancers read, each its own words. */}}
{{- define "gadgetron.loadBalancerAnnotations" -}}
service.beta.kubernetes.io/azure-load-balancer-tcp-idle-timeout: {{ .Values.service.idleTimeoutMinutes | quote }}
service.beta.kubernetes.io/aws-load-balancer-connection-idle-timeout: {{ mul .Values.service.idleTimeoutMinutes 60 | quote }}
{{- if .Values.service.internalLoadBalancer }}
service.beta.kubernetes.io/azure-load-balancer-internal: "true"
service.beta.kubernetes.io/aws-load-balancer-scheme: internal
networking.gke.io/load-balancer-type: Internal
{{- end }}
{{- end -}}

{{/* IP families of a Service. */}}
{{- define "gadgetron.ipFamilies" -}}
ipFamilyPolicy: {{ .Values.ipFamilyPolicy }}
{{- with .Values.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Scheduling fields of a pod: a dict with nodeSelector, tolerations, affinity... */}}
{{- define "gadgetron.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* What the nodes of a service are called to the gateway. */}}
{{- define "gadgetron.nodes" -}}
{{- $root := . -}}
{{- $list := list -}}
{{- range (include "gadgetron.pools" . | fromYaml).pools -}}
{{- $list = append $list (printf "kubernetes:%s.%s:9002/9080@%s" .workload $root.Release.Namespace .name) -}}
{{- end -}}
{{- join "," $list -}}
{{- end -}}

{{/* A quantity such as 500m as a decimal number. */}}
{{- define "gadgetron.quantity" -}}
{{- $text := toString . -}}
{{- if hasSuffix "m" $text -}}
{{- divf (trimSuffix "m" $text | float64) 1000 -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{/* A quantity such as 20Gi in bytes. */}}
{{- define "gadgetron.bytes" -}}
{{- $text := toString . -}}
{{- $factor := 1 -}}
{{- range $suffix, $value := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if hasSuffix $suffix $text -}}{{- $factor = $value -}}{{- end -}}
{{- end -}}
{{- mul (regexFind "^[0-9]+" $text | int64) $factor -}}
{{- end -}}
