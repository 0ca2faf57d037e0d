// The parts of Konva that the editor uses: its package as a whole has all shapes and filters.

export { Group } from "konva/lib/Group.js";
export { Layer } from "konva/lib/Layer.js";
export { Shape } from "konva/lib/Shape.js";
export { Stage } from "konva/lib/Stage.js";
export { Transform } from "konva/lib/Util.js";
export { Image } from "konva/lib/shapes/Image.js";
export { Line } from "konva/lib/shapes/Line.js";
export { Rect } from "konva/lib/shapes/Rect.js";
export { Transformer } from "konva/lib/shapes/Transformer.js";
