{{/*
What the operator may do, one rule a reason. The same table is alpha_panda_operator/rights.py, a test compares both, and
another runs the operator under exactly these rights and takes each away in turn. Secrets are in none.
*/}}
{{- define "alpha-panda.rules.watched" -}}
# Know what is asked for; read it afresh before trading states are renewed; set and remove the finalizer.
- apiGroups: [alphapanda.io]
  resources: [marketfeeds, brokeraccounts, strategies]
  verbs: [list, watch, patch]
# Write conditions and figures, by server-side apply.
- apiGroups: [alphapanda.io]
  resources: [marketfeeds/status, brokeraccounts/status, strategies/status]
  verbs: [patch]
# Name an owner whose deletion waits for its children (admission plugin OwnerReferencesPermissionEnforcement).
- apiGroups: [alphapanda.io]
  resources: [marketfeeds/finalizers, brokeraccounts/finalizers, strategies/finalizers]
  verbs: [update]
# Run the pods; see them changed; read a pinned template; scale to zero; take away what is not wanted.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, get, create, patch, delete]
# Give pods their manifests and accounts of their own; read users' code and replay files by version.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [list, watch, get, create, patch, delete]
# Keep one engine during a drain.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, get, create, patch, delete]
# Keep pods from talking to anybody else.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, get, create, patch, delete]
# Say why a pod does not run: crash loops, images that can't be pulled, Secrets that are missing. By an annotation, have
# the kubelet bring changed manifests into it at once.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# Tell people what happened, in `kubectl describe`.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "alpha-panda.rules.own" -}}
# The first replica makes the Lease. `create` can't be limited to a name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# One replica leads.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "alpha-panda.operator" . }}]
  verbs: [get, update]
# The platform's trading state.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ include "alpha-panda.platform" . }}]
  verbs: [get, watch]
{{- end -}}
