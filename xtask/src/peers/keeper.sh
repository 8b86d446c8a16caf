# Reads orders until their writer is gone, then carries them out, the newest process first:
#   stop PID SIGNAL    end this process; after ten seconds, by KILL, with its whole group
#   done PID           it has ended, and its number may belong to another process by now
#   remove FOLDER      once every process has ended
trap '' INT TERM HUP

running() { [ -e "/proc/$1/exe" ]; }

end() {
    case $2 in
    KILL) kill -s KILL -- "-$1" 2>/dev/null ;;
    *) kill -s "$2" "$1" 2>/dev/null ;;
    esac
}

without() {
    for process in $processes; do
        [ "${process%:*}" = "$1" ] || printf '%s ' "$process"
    done
}

processes='' folders=''
while read -r order what signal; do
    case $order in
    stop) processes="$what:$signal $processes" ;;
    done) processes=$(without "$what") ;;
    remove) folders="$folders$what
" ;;
    esac
done

for process in $processes; do
    running "${process%:*}" && end "${process%:*}" "${process#*:}"
done
for process in $processes; do
    turns=100
    while running "${process%:*}" && [ "$turns" -gt 0 ]; do
        sleep 0.1
        turns=$((turns - 1))
    done
    running "${process%:*}" && end "${process%:*}" KILL
done
printf %s "$folders" | while read -r folder; do
    rm -rf -- "$folder"
done
