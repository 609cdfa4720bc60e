"""From a resource to what shall be: judged, built, applied, told of. Only `children` and `teardown` ask anybody."""
