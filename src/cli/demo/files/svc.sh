#!/bin/sh
# svc: the demo's service manager. A service is a file in "$HOME/services" that says how it is.
state="$HOME/services/$2"
case $1 in
  status)
    echo "$2: $(cat "$state" 2>/dev/null || echo unknown)"
    [ "$(cat "$state" 2>/dev/null)" = running ] || exit 3 ;;
  start | restart) echo running > "$state" && echo "started $2" ;;
  stop) echo stopped > "$state" && echo "stopped $2" ;;
  *) echo "usage: svc status|start|restart|stop NAME" >&2; exit 64 ;;
esac
