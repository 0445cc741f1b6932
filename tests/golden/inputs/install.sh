#!/usr/bin/env bash
echo installed by "$(id -un)"
