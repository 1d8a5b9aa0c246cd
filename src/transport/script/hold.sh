# Runs one attempt so that it outlives the connection. Read with its reasons in docs/adr/0012-remote-protocol.md.
#
# The lines before this one set douse_id, douse_mode (start, attach, stop), douse_age, douse_part, douse_boot_file,
# douse_awaits_reboot, douse_own and, if the command may be started, douse_s: the script of the command. What is sent is
# this file without its comments and indentation, for bash reads a script from a pipe byte by byte; `find.sh` comes
# before it where an attempt may be known already.
#
# A fork costs as much as a hundred lines of shell, and a program four times that. So a command that is quick costs four
# forks: its pipes are made by here-documents, what it prints stays in them until it has ended, and then the shell reads
# it. Whatever takes longer, or prints more, gets a process for each stream.
set -f
douse_nl='
'

# Says the last word on both streams: what it says on stdout is `end:STATE:EXIT:STARTED:OUT_DROPPED:ERR_DROPPED:TEXT`.
douse_end() {
  printf '\ndouse:%s:end:%s\n' "$douse_id" "$1"
  printf '\ndouse:%s:end:\n' "$douse_id" >&2
  exit 0
}

# Group and start time of process $1: together with the boot they name a process for ever.
douse_look() {
  douse_l=
  { IFS= read -r douse_l <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${douse_l##*) }
  case $1 in Z | X) return 1 ;; esac
  douse_pg=$3 douse_st=${20}
}

# A folder of the user's own that nobody else can write or replace.
douse_is_ours() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && [ -w "$1" ]
}

# Makes the claim: only the first can, and only when it can be written down.
douse_claim() {
  set -C
  if { printf '' >"$douse_f"; } 2>/dev/null; then set +C; else set +C; return 1; fi
  if { printf 'claim %s %s %s\n' "$douse_b" "$$" "$douse_st" >>"$douse_f"; } 2>/dev/null \
    && { IFS= read -r douse_l <"$douse_f"; } 2>/dev/null; then
    # Whoever found it empty may have been faster.
    [ "$douse_l" = "claim $douse_b $$ $douse_st" ]
    return
  fi
  rm -f "$douse_f" 2>/dev/null
  return 1
}

# Claims in folder $1 and goes on from there; what another has claimed is found, not started.
douse_go() {
  douse_is_ours "$1" || { mkdir -p "${1%/*}" && mkdir -m 700 "$1"; } 2>/dev/null
  douse_is_ours "$1" || return
  douse_f=$1/$douse_id
  [ "$douse_mode" = stop ] || douse_pipes "$douse_f.p$$" || douse_end "nowhere:::::no pipe can be made"
  if douse_claim; then
    case $douse_mode in
      stop) douse_stop ;;
      *) [ -n "$douse_s" ] && douse_start; douse_never ;;
    esac
  fi
  # Somebody was faster.
  [ -e "$douse_f" ] || return
  case $douse_mode in start) douse_end "claimed:::::" ;; *) "douse_$douse_mode" ;; esac
}

# TERM for the command's group: the gentle part of an end, for who has no second connection.
douse_term() {
  douse_k=
  { read -r douse_k douse_g douse_v2 <"$douse_f.s"; } 2>/dev/null
  [ "$douse_k" = start ] && kill -TERM "-$douse_g" 2>/dev/null
}

# What the command has printed since the last time.
douse_news() {
  if [ -s "$douse_f.o0" ]; then
    [ -n "$douse_os" ] || { exec 4<"$douse_f.o0"; } 2>/dev/null
    douse_os=1
    cat <&4 2>/dev/null
  fi
  if [ -s "$douse_f.e0" ]; then
    [ -n "$douse_es" ] || { exec 6<"$douse_f.e0"; } 2>/dev/null
    douse_es=1
    cat <&6 >&2 2>/dev/null
  fi
}

# The same of a few lines, which no program is needed for.
douse_say() {
  while IFS= read -r douse_l; do printf '%s\n' "$douse_l"; done
  printf '%s' "$douse_l"
}

# The parts of stream $1 after its head, and how much was dropped between.
douse_tail() {
  douse_i= douse_dropped=0
  [ -e "$douse_f.$1i" ] && read -r douse_i douse_dropped <"$douse_f.$1i"
  if [ -n "$douse_i" ]; then
    [ "$douse_i" -gt 1 ] && cat "$douse_f.$1$((douse_i - 1))" 2>/dev/null
    cat "$douse_f.$1$douse_i" 2>/dev/null
  fi
}

# Sends what is left, and ends with state $1.
douse_finish() {
  case $douse_q in
    *oq*eq* | *eq*oq*)
      [ -s "$douse_f.o0" ] && douse_say <"$douse_f.o0"
      [ -s "$douse_f.e0" ] && douse_say <"$douse_f.e0" >&2
      ;;
    *) douse_news ;;
  esac
  douse_tail o
  douse_od=$douse_dropped
  douse_tail e >&2
  douse_k=
  { read -r douse_k douse_v1 <"$douse_f.s"; } 2>/dev/null
  douse_y=0 douse_state=$1
  case $douse_k in start) douse_y=1 ;; void) douse_state=void ;; esac
  douse_end "$douse_state:${douse_x:-}:$douse_y:$douse_od:$douse_dropped:"
}

# Copies lines from descriptor $1 into file $2 as long as they are few and short; ends with 1 when there may be more. A line
# break is copied with the line after it: the one before `done` is none of the command's.
douse_copy() {
  douse_j=0 douse_h=
  while [ "$douse_j" -lt 16 ]; do
    douse_l=
    IFS= read -r douse_l <&"$1" || {
      [ -z "$douse_l" ] || printf "$douse_h%s" "$douse_l" >>"$2"
      return 0
    }
    if [ "$douse_l" = "douse:$douse_id:done:" ]; then
      douse_h=
    else
      [ -z "$douse_h$douse_l" ] || printf "$douse_h%s" "$douse_l" >>"$2"
      douse_h='\n'
      [ "${#douse_l}" -gt 300 ] && break
    fi
    douse_j=$((douse_j + 1))
  done
  printf "$douse_h" >>"$2"
  return 1
}

# Says that stream $1 has ended; $2: it is so short that the shell can send it.
douse_full() {
  printf 'full %s\n' "$1" >>"$douse_f"
  printf 'full %s %s\n' "$1" "$2" >&7
}

# Takes what a command that has ended has left in its pipes.
douse_rest() {
  if douse_copy 3 "$douse_f.o0"; then douse_full o q; else douse_keep o <&3; fi
  if douse_copy 5 "$douse_f.e0"; then douse_full e q; else douse_keep e <&5; fi
}

# Takes stream $1 from its pipe and keeps a head and a tail of it, so that a command that prints for ever fills no disk
# and never waits for a reader. It ends when the last writer has closed, and it must not end before.
douse_keep() {
  douse_i=0 douse_before=0 douse_dropped=0 douse_bs=32768 douse_count=64
  while :; do
    douse_r=$(LC_ALL=C dd "bs=$douse_bs" "count=$douse_count" 2>&1 >>"$douse_f.$1$douse_i") && douse_ok=1 || douse_ok=0
    douse_r=${douse_r%% records in*}
    douse_r=${douse_r##*"$douse_nl"}
    case $douse_r in *[!0-9+]* | '') cat >/dev/null; break ;; esac
    # Fewer reads than asked for: the end; or the disk is full, and then the next read finds the end.
    [ "$(($douse_r))" -eq 0 ] && break
    if [ "$douse_ok" = 0 ]; then
      douse_dropped=$((douse_dropped + douse_bs))
      printf '%s %s\n' "$douse_i" "$douse_dropped" >"$douse_f.$1i"
      continue
    fi
    [ "$(($douse_r))" -lt "$douse_count" ] && break
    douse_size=$(wc -c <"$douse_f.$1$douse_i")
    [ "$douse_size" -lt "$douse_part" ] && continue
    if [ "$douse_i" -gt 1 ]; then
      rm -f "$douse_f.$1$((douse_i - 1))"
      douse_dropped=$((douse_dropped + douse_before))
    fi
    douse_before=$douse_size
    # More than the head: many bytes a process from here on.
    douse_i=$((douse_i + 1)) douse_bs=65536 douse_count=32
    printf '%s %s\n' "$douse_i" "$douse_dropped" >"$douse_f.$1i"
  done 2>/dev/null
  douse_full "$1"
}

# Starts the processes that take the streams, unless they have been. Their files are the user's alone, whatever the folder
# was before; the command itself keeps the user's own umask.
douse_keepers() {
  [ "$douse_kept" = 2 ] && return
  if [ -z "$douse_kept" ]; then { umask 077; douse_keep o; } <&3 >/dev/null 2>/dev/null 3<&- 5<&- 8<&- & fi
  { umask 077; douse_keep e; } <&5 >/dev/null 2>/dev/null 3<&- 5<&- 8<&- &
  douse_kept=2
  # From here on the last of the others to end is heard as an end.
  exec 3<&- 5<&- 7>&-
}

# Tells whoever is connected what happens, and asks what it wants to know. Of the others it hears on descriptor 8.
douse_tell() {
  # A shell that cannot write because nobody listens any more has still to start who takes the streams.
  trap '' TERM HUP INT QUIT PIPE
  exec 4>&- 6>&-
  {
    while IFS= read -r douse_t; do printf '%s\n' "$douse_t"; done
    printf 'eof\n'
  } <&9 >&7 2>/dev/null 3<&- 5<&- 7>&- 8<&- 9<&- &
  exec 9<&-
  printf '\ndouse:%s:found:\n' "$douse_id"
  douse_n=0 douse_x= douse_kept=
  while read -r douse_k douse_v1 douse_v2 <&8; do
    case $douse_k in
      exit)
        douse_x=$douse_v1 douse_n=$((douse_n + 1))
        # One process for both. When what was left behind keeps it at the first, the next word helps.
        if [ -z "$douse_kept" ]; then
          { umask 077; douse_rest; } </dev/null >/dev/null 2>/dev/null 8<&- &
          douse_kept=1
        fi
        printf '\ndouse:%s:exit:\n' "$douse_id"
        ;;
      full)
        case $douse_q in *"$douse_v1"*) ;; *) douse_n=$((douse_n + 1)) ;; esac
        douse_q=$douse_q$douse_v1$douse_v2
        ;;
      other) douse_finish claimed ;;
      now) douse_n=3 ;;
      stop) douse_term ;;
      eof | keep) douse_keepers ;;
      *) if [ -z "$douse_x" ] || [ "$douse_kept" = 2 ]; then douse_keepers; douse_news; else douse_keepers; fi ;;
    esac
    [ "$douse_n" -ge 3 ] && break
  done
  douse_finish "${douse_x:+exit}"
}

# Two ends each of three pipes: of stdout (3, 4), stderr (5, 6), and of what F is told (8, 7). $1 may be the name of a file.
douse_pipes() {
  exec 3<<E 5<<E 8<<E
x
E
x
E
x
E
  read -r douse_k <&3
  read -r douse_k <&5
  read -r douse_k <&8
  [ -p /proc/self/fd/3 ] && { exec 4>/proc/self/fd/3 6>/proc/self/fd/5 7>/proc/self/fd/8; } 2>/dev/null && return
  # Older shells make files of here-documents.
  { mkfifo "$1o" "$1e" "$1t" && exec 4<>"$1o" 6<>"$1e" 7<>"$1t" && exec 3<"$1o" 5<"$1e" 8<"$1t" \
    && exec 4>"$1o" 6>"$1e" 7>"$1t"; } 2>/dev/null
  douse_x=$?
  rm -f "$1o" "$1e" "$1t"
  return "$douse_x"
}

# Runs the claimed command, and writes its exit code down before anything else.
douse_start() {
  trap : TERM HUP INT QUIT PIPE
  exec 9<&0
  douse_tell &
  douse_t=$!
  # What this shell itself has to say about the command's end is no output of the command.
  exec 3<&- 5<&- 8<&- 9<&- </dev/null >/dev/null 2>/dev/null
  if [ "$douse_own" = 1 ] && [ "$douse_pg" = "$$" ]; then
    # sshd has given this shell a session of its own, and nothing in the command asks for its process.
    (
      exec >&4 2>&6 4>&- 6>&- 7>&-
      set +f
      douse_l="$$ $douse_st $$"
      eval "$douse_s"
    )
  else
    printf '%s' "$douse_s" | setsid /bin/sh -s "$douse_f" "$$" >&4 2>&6 4>&- 6>&- 7>&-
  fi
  douse_x=$?
  douse_k= douse_v3=
  { read -r douse_k douse_v1 douse_v2 douse_v3 <"$douse_f.s"; } 2>/dev/null
  if [ -z "$douse_k" ] && [ -e "$douse_f.s" ]; then
    # Who made it has not said yet what for.
    { printf 'void\n' >>"$douse_f.s" && read -r douse_k douse_v1 douse_v2 douse_v3 <"$douse_f.s"; } 2>/dev/null
  fi
  # Not of one that came second and started nothing.
  if [ -z "$douse_k" ] || [ "$douse_v3" = "$$" ]; then
    printf 'exit %s\n' "$douse_x" >>"$douse_f"
    printf 'exit %s\n' "$douse_x" >&7
  else
    printf 'other\n' >&7
  fi
  # What was left behind may hold the pipes open: this ends a last line that has no end.
  printf '\ndouse:%s:done:\n' "$douse_id" >&4
  printf '\ndouse:%s:done:\n' "$douse_id" >&6
  exec 4>&- 6>&- 7>&-
  # A kill of the group reaches this shell, too.
  while kill -0 "$douse_t"; do wait "$douse_t"; done
  exit 0
}

douse_q= douse_os= douse_es=
for douse_t in setsid dd cat wc; do
  command -v "$douse_t" >/dev/null 2>&1 || douse_end "nowhere:::::the host has no program \`$douse_t\`"
done
douse_b=
{ IFS= read -r douse_b <"$douse_boot_file"; } 2>/dev/null
if [ -z "$douse_b" ]; then
  # Containers without the file: the second of the boot says nearly as much.
  { while read -r douse_k douse_v1; do [ "$douse_k" = btime ] && douse_b=btime-$douse_v1; done </proc/stat; } 2>/dev/null
fi
if [ -z "$douse_b" ] || ! douse_look "$$"; then
  douse_end "nowhere:::::/proc tells neither the boot nor when a process began"
fi
[ "$douse_mode" = start ] || douse_find

# A place that survives a reboot comes first.
case ${HOME-} in /*) douse_go "$HOME/.cache/douse" ;; esac
douse_u=$(id -u)
douse_go "/var/tmp/.douse-$douse_u"
douse_go "/tmp/.douse-$douse_u"
douse_end "nowhere:::::no folder of the user's own can be written: ~/.cache/douse, /var/tmp/.douse-$douse_u, /tmp/.douse-$douse_u"
