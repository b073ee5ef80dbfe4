#!/bin/sh
# Makes the weights that ship with the program, from the data sets that MODEL_CARD.md names:
#
#     sh examples/train_weights.sh DATA OUT [RECIPE]
#
# DATA holds a folder with manifest.csv for each of dfdc, ffhq_stylegan, photoshop, text_to_image, wild_reals and clips.
# First the families of our own making (swaps, samples of the generators that ship, pictures cropped so that no face is left,
# swapped clips), then the training with RECIPE (the shipped one: forensics/weights/recipe.toml), then the calibration on
# clips. OUT/weights is the set of weights: forensics scan clip.mp4 --weights OUT/weights. Needs the extra `pretrained`.
# Run again, it goes on where it stopped. Two to three hours on two cores, half of it the training.
set -eu
if [ $# -lt 2 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
data=$1 out=$2
here=$(dirname "$0")
recipe=${3:-$here/../forensics/weights/recipe.toml}
python=${PYTHON:-python}
if [ ! -e "$recipe" ]; then
    echo "error: there is no recipe $recipe; hint: name one that a run of \`forensics train\` kept: OUTPUT/recipe.toml" >&2
    exit 2
fi
sets="dfdc ffhq_stylegan photoshop text_to_image wild_reals"
mkdir -p "$out"

# Positional parameters hold the options --data MANIFEST: paths may have spaces.
set --
for name in $sets; do
    set -- "$@" --data "$data/$name/manifest.csv"
done
for part in train:2000 dev:300 test:400; do
    split=${part%%:*}
    forensics generate stills swap "$@" --split "$split" --limit "${part##*:}" --dataset own_swaps \
        --output "$out/swaps_$split" --quiet
done
models="--model dcgan --model biggan --model madgan --model adaptive-conv"
for part in train:600 dev:150 test:250; do
    split=${part%%:*}
    # shellcheck disable=SC2086  # several options
    forensics generate stills gan $models --reals "$data/dfdc/manifest.csv" --reals "$data/ffhq_stylegan/manifest.csv" \
        --reals "$data/photoshop/manifest.csv" --reals "$data/wild_reals/manifest.csv" \
        --split "$split" --count "${part##*:}" --output "$out/gans_$split" --quiet
done
[ -e "$out/no_face/manifest.csv" ] || $python "$here/without_faces.py" "$data/ffhq_stylegan/manifest.csv" \
    --split dev --split test --output "$out/no_face"
for kind in swaps gans; do
    for split in train dev test; do
        set -- "$@" --data "$out/${kind}_$split/manifest.csv"
    done
done
forensics train "$@" --data "$out/no_face/manifest.csv" --recipe "$recipe" --output "$out/weights"
sh "$here/video_dev.sh" "$data/clips" "$out/video"
forensics calibrate-clips --data "$out/video/set/manifest.csv" --weights "$out/weights" --output "$out/weights"
