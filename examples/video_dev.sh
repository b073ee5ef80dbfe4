#!/bin/sh
# Makes a video dev set of the clips of a manifest, untouched and swapped, all through one encode:
#
#     sh examples/video_dev.sh DATA OUT
#
# DATA/manifest.csv lists clips (label 0 and 1, dataset, source, view scene). Its real clips are taken two by two, and each
# gets the face of the other by landmarks, with one pose and with the nearest, on copies of the clips' first eight seconds
# that are reduced to the set's size limit, which makes swaps cheaper and takes nothing from the set; where DATA holds
# dfdc_real_a.mp4 and dfdc_real_b.mp4, the swap that ships (dfdc-pair) draws its two people too. Swaps and copies are written
# without loss, so that every clip is compressed once more, and once only: OUT/set holds pieces of five seconds at H.264
# CRF 26, 1280 pixels at most, with masks of the swaps, and manifest.csv. Ten to twenty seconds a swap on one core; run
# again, it goes on where it stopped. OUT/reduced and OUT/swaps are as large as lossless video is, and may be removed
# afterwards. Then:
#
#     forensics calibrate-clips --data OUT/set/manifest.csv --output OUT/weights
set -eu
if [ $# -ne 2 ]; then
    sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
data=$1 out=$2
here=$(dirname "$0")
python=${PYTHON:-python}
how="--crf 0 --encoder ultrafast --split dev --threads 1"

make() { # a clip that is there is not made again
    for made in "$@"; do :; done # the last argument is the clip
    [ -e "$made" ] || forensics generate faceswap "$@"
}

mkdir -p "$out/swaps"
[ -e "$out/reduced/manifest.csv" ] || $python "$here/video_dev.py" "$data/manifest.csv" --copies --seconds 8 --output "$out/reduced"
data=$out/reduced
$python "$here/video_dev.py" "$data/manifest.csv" --list-pairs >"$out/pairs.tsv"
while IFS="$(printf '\t')" read -r a b; do
    a_name=$(basename "$a") b_name=$(basename "$b")
    for pose in best nearest; do
        # shellcheck disable=SC2086  # several options
        make warp "$a" "$b" $how --pose $pose --output "$out/swaps/warp-$pose-${a_name%.*}-in-${b_name%.*}.mp4" </dev/null
        # shellcheck disable=SC2086
        make warp "$b" "$a" $how --pose $pose --output "$out/swaps/warp-$pose-${b_name%.*}-in-${a_name%.*}.mp4" </dev/null
    done
done <"$out/pairs.tsv"
if [ -e "$data/dfdc_real_a.mp4" ] && [ -e "$data/dfdc_real_b.mp4" ]; then
    # shellcheck disable=SC2086
    make convert "$data/dfdc_real_b.mp4" --model dfdc-pair $how --output "$out/swaps/dfdc-pair-in-b.mp4"
    # shellcheck disable=SC2086
    make convert "$data/dfdc_real_a.mp4" --model dfdc-pair --reverse $how --output "$out/swaps/dfdc-pair-in-a.mp4"
fi
# Nobody is in two groups: the FaceForensics++ pair, where it is there, is one broadcast; dfdc-pair calls its faces source
# and target.
$python "$here/video_dev.py" "$data/manifest.csv" "$out/swaps/manifest.csv" --output "$out/set" --split dev \
    --same-person ffpp_deepfakes_519_515=ffpp_original_519 --worn source=dfdc_real_a --worn target=dfdc_real_b
